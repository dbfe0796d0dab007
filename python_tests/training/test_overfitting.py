# SPDX-License-Identifier: MIT

import pytest

from yopo_ext.training.overfitting import catastrophic_overfitting


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


def test_a_run_reports_it(runs, monkeypatch, capsys):
    figures = iter([{"clean": 90.0, "fgsm": 50.0, "robust": 40.0}, {"clean": 90.0, "fgsm": 80.0, "robust": 3.0}] * 2)
    monkeypatch.setattr("yopo_ext.training.trainer.curve_accuracies", lambda *arguments: next(figures))
    trainer = runs.trainer(method="fast", alpha=0.125, epochs=2)
    trainer.show = True
    trainer.fit(runs.stop_after(10**9))
    assert ["warning" in line for line in trainer.log] == [False, True]
    assert "catastrophic overfitting: PGD accuracy fell from 40.0 to 3.0 %" in capsys.readouterr().out
