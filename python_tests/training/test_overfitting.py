# SPDX-License-Identifier: MIT

import json
from pathlib import Path

import pytest

from yopo_ext.training import Run, change_config
from yopo_ext.training.events.overfitting import catastrophic_overfitting, falling_cosine

MEASURED = Path(__file__).resolve().parents[2] / "bench" / "results" / "catastrophic-overfitting.json"


@pytest.mark.parametrize(
    ("robust", "fgsm", "reported"),
    [
        ([30, 40, 5], [40, 50, 85], True),
        ([30, 40, 5], [40, 50, 30], False),  # both collapse: something else is wrong
        ([30, 40, 35], [40, 50, 85], False),
        ([40, 19], [50, 60], True),
        ([8, 1], [9, 60], False),  # was hardly robust before
        ([40], [50], False),
        ([], [], False),
        ([40, 5, 4], [50, 80, 82], True),  # and still is
    ],
)
def test_when_it_is_reported(robust, fgsm, reported):
    found = catastrophic_overfitting(robust, fgsm)
    assert (found is not None) == reported
    if reported:
        assert f"from {max(robust):.1f} to {robust[-1]:.1f} %" in found


@pytest.mark.parametrize(
    ("cosines", "reported"),
    [
        ([0.9, 0.8, 0.3], True),
        ([0.9, 0.8, 0.5], False),
        ([0.9, 0.1, 0.1], True),  # and still is
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.42], False),  # slowly: the first is forgotten
        ([0.15, 0.06], False),  # was small before
        ([0.5, -0.1], True),
        ([0.2], False),
    ],
)
def test_when_the_cosine_is_reported(cosines, reported):
    found = falling_cosine(cosines)
    assert (found is not None) == reported
    if reported:
        assert f"fell from {max(cosines):.2f} to {cosines[-1]:.2f}" in found


def test_a_run_reports_it(runs, monkeypatch, capsys):
    figures = iter([(90.0, 50.0, 40.0), (90.0, 80.0, 3.0)])
    monkeypatch.setattr(
        "yopo_ext.training.runs.parts.curve_accuracies",
        lambda *arguments: dict(zip(("clean", "fgsm", "curve_robust"), next(figures), strict=True)),
    )
    config = change_config(runs.config, method="fast", alpha=0.125, epochs=2)
    run = Run(config, runs.root / "run", runs.data(config))
    run.fit()
    assert ["warning" in line for line in run.trainer.log] == [False, True]
    assert "catastrophic overfitting: PGD accuracy fell from 40.0 to 3.0 %" in capsys.readouterr().out


def test_what_the_two_rules_say_of_measured_trainings():
    """A look counted as an epoch, as docs/training.md tells it."""
    found = []
    for run in json.loads(MEASURED.read_text(encoding="utf-8"))["runs"]:
        points = [point for point in run["points"] if "cosine" in point]
        cosines, robust, fgsm = ([point[name] for point in points] for name in ("cosine", "robust", "fgsm"))
        ends = range(1, len(points) + 1)
        by_cosine = [points[end - 1]["step"] for end in ends if falling_cosine(cosines[:end])]
        by_accuracy = [points[end - 1]["step"] for end in ends if catastrophic_overfitting(robust[:end], fgsm[:end])]
        found.append((by_cosine[:1], by_accuracy[:1]))
    sound = ([], [])
    assert found[8] == ([460], [540])
    assert found[5] == ([], [160])
    assert [one for number, one in enumerate(found) if number not in (5, 8)] == [sound] * 8
