# SPDX-License-Identifier: MIT

import io
import json

import pytest
import torch

from yopo_ext.evaluation import (
    Attack,
    CurvePoint,
    accuracy,
    evaluate,
    fgsm,
    format_table,
    measure,
    plot_accuracy_time,
    robust_accuracy,
    run_attack,
)

# The network of these tests is right more often on normalised images.
pytestmark = pytest.mark.filterwarnings("ignore::yopo_ext.evaluation.NormalisationWarning")


def test_figures_are_those_of_the_functions(model, images):
    options = {"eps": 0.12, "steps": 2, "restarts": 2, "seed": 4}
    report = evaluate(model, images, losses=("ce", "margin"), batch_size=40, **options)
    assert report.clean == accuracy(model, images)
    for name in ("ce", "margin"):
        assert report.robust[f"PGD-2 x 2 restarts, {name}"] == robust_accuracy(
            model, images, losses=(name,), batch_size=40, **options
        )
    both = robust_accuracy(model, images, losses=("ce", "margin"), batch_size=40, **options)
    assert report.worst == both
    assert report.worst < min(report.robust.values())
    assert (report.images, report.alpha) == (90, pytest.approx(0.15))


def test_json_and_table(model, images):
    report = evaluate(model, images, eps=8 / 255, steps=3, restarts=2, losses=("ce", "margin"))
    values = json.loads(report.to_json())
    assert set(values) == {
        "images", "clean", "robust", "worst", "targeted_success", "eps", "norm", "attacks", "warnings"
    }  # fmt: skip
    assert values["attacks"]["PGD-3 x 2 restarts, ce"] == {
        "eps": 8 / 255, "steps": 3, "alpha": pytest.approx(2.5 * 8 / 255 / 3), "loss": "ce", "restarts": 2,
        "targets": None, "random_start": True, "norm": "linf", "bounds": [0.0, 1.0], "seed": 0,
    }  # fmt: skip
    assert values["robust"] == report.robust
    assert values["eps"] == 8 / 255
    lines = report.to_table().splitlines()
    assert lines[2].split() == ["clean", f"{report.clean:.2f}"]
    assert lines[3].split() == ["PGD-3", "x", "2", "restarts,", "ce", f"{report.robust['PGD-3 x 2 restarts, ce']:.2f}"]
    assert lines[5].split() == ["worst", "case", f"{report.worst:.2f}"]
    assert lines[6] == "90 images, linf, eps 0.03137, alpha 0.02614"


def test_one_loss_needs_no_worst_case(model, images):
    table = evaluate(model, images, eps=0.1, steps=1).to_table()
    assert "worst" not in table
    assert "restarts" not in table


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"restarts": 0}, {"losses": ()}, {"losses": ("kl",)}, {"steps": -2, "alpha": 0.1}]
)
def test_what_is_refused(model, images, change):
    with pytest.raises(ValueError, match="attack"):
        evaluate(model, images, **{"eps": 0.1, **change})


def test_no_images(model, images):
    with pytest.raises(ValueError, match="no images"):
        evaluate(model, images.select(torch.tensor([], dtype=torch.int64)), eps=0.1)


def test_columns_are_aligned():
    table = format_table(("name", "%"), [("a", "1.0"), ("longer", "100.0")])
    assert table.splitlines() == ["name        %", "------  -----", "a         1.0", "longer  100.0"]


@pytest.mark.parametrize("to_file", [True, False])
def test_the_plot_is_a_png(tmp_path, to_file):
    curves = {"YOPO-5-3": [CurvePoint(1.0, 50.0, 20.0), CurvePoint(2.0, 70.0, 40.0)], "natural": []}
    target = tmp_path / "curve.png" if to_file else io.BytesIO()
    plot_accuracy_time(curves, target, title="title")
    content = target.read_bytes() if to_file else target.getvalue()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1260, 600)
    other = io.BytesIO()
    plot_accuracy_time({"YOPO-5-3": curves["YOPO-5-3"][:1]}, other, title="title")
    assert other.getvalue() != content


def test_attacks_of_all_kinds_and_their_worst_case(model, images):
    attacks = [fgsm(0.12), Attack(0.12, steps=2, targets="next"), Attack(0.12, steps=2, loss="dlr")]
    report = measure(model, images, attacks)
    outcomes = [run_attack(model, images, attack) for attack in attacks]
    assert list(report.robust) == [attack.label for attack in attacks]
    for attack, outcome in zip(attacks, outcomes, strict=True):
        assert report.robust[attack.label] == 100 * int(outcome.survived.sum()) / 90
    survived = outcomes[0].survived & outcomes[1].survived & outcomes[2].survived
    assert report.worst == 100 * int(survived.sum()) / 90
    assert report.worst < min(report.robust.values())
    correct = round(report.clean * 90 / 100)
    success = {attacks[1].label: pytest.approx(100 * int(outcomes[1].reached.sum()) / correct)}
    assert report.targeted_success == success
    assert f"PGD-2, ce, targets: next: {success[attacks[1].label].expected:.2f} % of the" in report.to_table()
    assert json.loads(report.to_json())["attacks"]["FGSM, ce"]["alpha"] == 0.12


def test_clean_accuracy_alone(model, images):
    report = measure(model, images, [])
    assert report.worst == report.clean == accuracy(model, images)
    assert report.to_table().splitlines()[-1] == "90 images"
    assert json.loads(report.to_json())["eps"] is None


def test_labels_tell_attacks_apart(model, images):
    with pytest.raises(ValueError, match="two attacks of one label"):
        measure(model, images, [Attack(0.1, seed=1), Attack(0.1, seed=2)])
