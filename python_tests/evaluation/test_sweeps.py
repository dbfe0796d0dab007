# SPDX-License-Identifier: MIT

import json

import pytest
from robustness import robust

from yopo_ext.evaluation import FGSMAttack, PGDAttack, accuracy, sweep


def test_a_sweep_over_eps_is_an_evaluation_at_each(model, images):
    attacks = [PGDAttack(0.1, steps=3), PGDAttack(0.1, steps=3, loss="margin")]
    found = sweep(model, images, attacks, "eps", [0.1, 0.0, 0.05])
    assert found.values == (0.0, 0.05, 0.1)
    for name, loss in (("PGD-3, ce", "ce"), ("PGD-3, margin", "margin")):
        expected = [robust(model, images, PGDAttack(eps, steps=3, loss=loss)) for eps in found.values]
        assert found.curves[name] == tuple(expected)
    assert found.clean == accuracy(model, images) == found.curves["PGD-3, ce"][0]
    assert found.curves["PGD-3, ce"][0] > found.curves["PGD-3, ce"][1] > found.curves["PGD-3, ce"][2]


@pytest.mark.parametrize("alpha", [None, 0.03])
def test_a_sweep_over_steps_keeps_a_given_alpha(model, images, alpha):
    found = sweep(model, images, [PGDAttack(0.1, alpha=alpha)], "steps", [1, 4])
    expected = [robust(model, images, PGDAttack(0.1, alpha=alpha, steps=steps)) for steps in (1, 4)]
    assert found.curves == {"PGD, ce": tuple(expected)}
    assert expected[0] != expected[1]


def test_json_and_table(model, images):
    found = sweep(model, images, [FGSMAttack(0.1), PGDAttack(0.1, steps=2)], "eps", [8 / 255])
    values = json.loads(json.dumps(found.to_dict()))
    assert values == {
        "over": "eps", "values": [8 / 255], "clean": found.clean, "images": 90,
        "curves": {name: list(curve) for name, curve in found.curves.items()},
    }  # fmt: skip
    lines = found.to_table().splitlines()
    assert lines[0].split() == ["eps", "FGSM,", "ce", "PGD-2,", "ce"]
    assert lines[2].split() == ["0.03137", *(f"{curve[0]:.2f}" for curve in found.curves.values())]
    assert lines[3] == f"accuracy in % of 90 images, clean {found.clean:.2f}"


@pytest.mark.parametrize(
    ("attacks", "over", "values", "message"),
    [
        ([PGDAttack(0.1)], "alpha", [1], "over: got 'alpha', expected one of eps, steps"),
        ([PGDAttack(0.1)], "eps", [], "at least one value and one attack"),
        ([], "eps", [1], "at least one value and one attack"),
        ([PGDAttack(0.1)], "eps", [0.1, -1], "eps: got -1"),
        ([PGDAttack(0.1)], "steps", [0], "steps: got 0"),
        ([FGSMAttack(0.1)], "steps", [1], "a sweep over steps: got FGSM, ce, whose steps cannot be varied"),
        ([PGDAttack(0.1, steps=3), PGDAttack(0.1, steps=4)], "steps", [1], "cannot be told apart"),
    ],
)
def test_what_is_refused(model, images, attacks, over, values, message):
    with pytest.raises(ValueError, match=message):
        sweep(model, images, attacks, over, values)
