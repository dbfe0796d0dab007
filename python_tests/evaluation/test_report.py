# SPDX-License-Identifier: MIT

import io
import json

import pytest
import torch
from robustness import robust

from yopo_ext.evaluation import (
    CurvePoint,
    FGSMAttack,
    PGDAttack,
    accuracy,
    format_table,
    measure,
    outcomes,
    plot_accuracy_time,
)

# The network of these tests is right more often on normalised images.
pytestmark = pytest.mark.filterwarnings("ignore::yopo_ext.evaluation.NormalisationWarning")


def test_figures_are_those_of_the_functions(model, images):
    attacks = [PGDAttack(0.12, steps=2, restarts=2, seed=4, loss=name) for name in ("ce", "margin")]
    report = measure(model, images, attacks, batch_size=40)
    assert report.clean == accuracy(model, images)
    for name, attack in zip(("ce", "margin"), attacks, strict=True):
        assert report.robust[f"PGD-2 x 2 restarts, {name}"] == robust(model, images, attack, batch_size=40)
    first, second = (found.survived for found in outcomes(model, images, attacks).attacked)
    assert report.worst == 100 * int((first & second).sum()) / 90
    assert report.worst < min(report.robust.values())
    assert (report.images, report.alpha) == (90, pytest.approx(0.15))


def test_json_and_table(model, images):
    report = measure(model, images, [PGDAttack(8 / 255, steps=3, restarts=2, loss=name) for name in ("ce", "margin")])
    values = json.loads(report.to_json())
    assert set(values) == {
        "images", "clean", "robust", "worst", "targeted_success", "queries", "distance", "eps", "norm", "attacks",
        "warnings",
    }  # fmt: skip
    assert values["attacks"]["PGD-3 x 2 restarts, ce"] == {
        "eps": 8 / 255, "steps": 3, "alpha": pytest.approx(2.5 * 8 / 255 / 3), "loss": "ce", "restarts": 2,
        "targets": None, "random_start": True, "norm": "linf", "bounds": [0.0, 1.0], "seed": 0,
            "in_kernel": "auto",
    }  # fmt: skip
    assert values["robust"] == report.robust
    assert values["eps"] == 8 / 255
    lines = report.to_table().splitlines()
    assert lines[2].split() == ["clean", f"{report.clean:.2f}"]
    assert lines[3].split() == ["PGD-3", "x", "2", "restarts,", "ce", f"{report.robust['PGD-3 x 2 restarts, ce']:.2f}"]
    assert lines[5].split() == ["worst", "case", f"{report.worst:.2f}"]
    assert lines[6] == "90 images, linf, eps 0.03137, alpha 0.02614"


def test_one_loss_needs_no_worst_case(model, images):
    table = measure(model, images, [PGDAttack(0.1, steps=1)]).to_table()
    assert "worst" not in table
    assert "restarts" not in table


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        (PGDAttack(0.1), "attacks: got a PGDAttack, expected a sequence of attacks"),
        ("pgd", "attacks: got a str, expected a sequence of attacks"),
        (["pgd"], "attacks: got 'pgd', expected objects with label, eps, norm, require_classes and run"),
        ([PGDAttack], "attacks: got <class .*PGDAttack'>, expected objects"),
        ([0.1], "attacks: got a float, expected objects"),
    ],
)
def test_what_is_refused(model, images, attacks, message):
    with pytest.raises(TypeError, match=message):
        measure(model, images, attacks)


def test_no_images(model, images):
    empty = images.select(torch.tensor([], dtype=torch.int64))
    for attacks in ([], [PGDAttack(0.1)]):
        with pytest.raises(ValueError, match="images: got none, expected at least one"):
            measure(model, empty, attacks)
    with pytest.raises(ValueError, match="images: got none"):
        accuracy(model, empty)


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
    attacks = [FGSMAttack(0.12), PGDAttack(0.12, steps=2, targets="next"), PGDAttack(0.12, steps=2, loss="dlr")]
    report = measure(model, images, attacks)
    found = outcomes(model, images, attacks).attacked
    assert list(report.robust) == [attack.label for attack in attacks]
    for attack, outcome in zip(attacks, found, strict=True):
        assert report.robust[attack.label] == 100 * int(outcome.survived.sum()) / 90
    survived = found[0].survived & found[1].survived & found[2].survived
    assert report.worst == 100 * int(survived.sum()) / 90
    assert report.worst < min(report.robust.values())
    correct = round(report.clean * 90 / 100)
    success = {attacks[1].label: pytest.approx(100 * int(found[1].reached.sum()) / correct)}
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
        measure(model, images, [PGDAttack(0.1, seed=1), PGDAttack(0.1, seed=2)])
