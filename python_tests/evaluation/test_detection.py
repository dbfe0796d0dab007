# SPDX-License-Identifier: MIT
"""The table of detectors against attacks, and the attack that knows a detector."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
import torch

from yopo_ext.data import to_float
from yopo_ext.detectors import Confidence, KernelDensity
from yopo_ext.evaluation import (
    AdaptiveAttack,
    BIMAttack,
    ClassLogits,
    Outcome,
    PGDAttack,
    feature_map,
    fit_detectors,
    measure,
    measure_with_detectors,
    outcomes,
    plot_features,
)
from yopo_ext.evaluation.attacks.bim import ATTACKS
from yopo_ext.evaluation.detection import auroc, detection_table, threshold
from yopo_ext.evaluation.outcomes import Outcomes

OBJECTIVE = ClassLogits()


@dataclass
class Brightness:
    """Suspects bright images."""

    label: str = "brightness"

    def fit(self, model, images):
        self.usual = images.mean()

    def score(self, model, x):
        return x.flatten(1).mean(1) - self.usual


pytestmark = pytest.mark.filterwarnings("ignore::yopo_ext.evaluation.NormalisationWarning")


@pytest.fixture
def detectors(model, images):
    found = [Confidence(OBJECTIVE), KernelDensity(OBJECTIVE, 0.5), Brightness()]
    fit_detectors(found, model, to_float(images.images))
    return found


def test_fitting_leaves_the_network_as_it_was(model, images):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_detectors([KernelDensity(OBJECTIVE)], model, to_float(images.images))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_report_is_the_one_without_detectors(model, images, detectors):
    attacks = [PGDAttack(0.3, steps=3), BIMAttack(0.3, steps=3)]
    adaptive = [AdaptiveAttack(detectors[0], 0.3, steps=3)]
    report, table = measure_with_detectors(model, images, attacks, detectors, adaptive=adaptive)
    assert report == measure(model, images, attacks)
    assert [(row.attack, row.detector) for row in table.rows] == [
        (attack.label, detector.label) for attack in attacks for detector in detectors
    ] + [("adaptive PGD-3 on confidence", "confidence")]


def test_figures_counted_by_hand():
    correct = torch.tensor([True] * 5 + [False])
    clean = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9, 0.0])[:, None]
    survived = torch.tensor([False, False, False, True, False, False])
    attacked = torch.tensor([0.95, 0.35, 0.5, 0.99, 0.6, 0.99])[:, None]
    found = Outcomes(correct, (Outcome(survived, scores=attacked),), clean)
    # A fifth of five clean images may be refused: the one above 0.4.
    table = detection_table(found, [PGDAttack(0.1)], [Brightness()], 0.2)
    assert table.thresholds == {"brightness": pytest.approx(0.4)}
    assert table.clean == {"brightness": pytest.approx(100 * 4 / 6)}
    (row,) = table.rows
    assert row.images == 4
    pairs = [(a > c) + 0.5 * (a == c) for a in (0.95, 0.35, 0.5, 0.6) for c in (0.1, 0.2, 0.3, 0.9)]
    assert row.auroc == pytest.approx(100 * sum(pairs) / 16)
    assert row.found == pytest.approx(75.0)
    # The three that are found and the one that survives; the image that was wrong from the start does not count.
    assert row.accuracy == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize(("share", "refused"), [(0.05, 5), (0.1, 10), (0.009, 0), (0.5, 50)])
def test_a_threshold_refuses_the_share_and_no_more(share, refused):
    scores = torch.arange(100.0)[torch.randperm(100)]
    assert int((scores > threshold(scores, share)).sum()) == refused
    assert int((torch.ones(100) > threshold(torch.ones(100), share)).sum()) == 0


def test_nothing_to_tell_apart_is_no_figure(model, images, detectors):
    report, table = measure_with_detectors(model, images, [PGDAttack(0.0, steps=1)], detectors)
    assert report.robust["PGD-1, ce"] == report.clean
    assert {(row.images, row.auroc, row.found) for row in table.rows} == {(0, None, None)}
    assert auroc(torch.zeros(0), torch.ones(2)) is None
    assert "-" in table.to_table()


def test_a_score_that_is_no_number_is_most_suspicious(model, images):
    class Broken(Brightness):
        def score(self, model, x):
            return torch.where(x.flatten(1)[:, 0] > 0.5, torch.nan, 0.0)

    found = outcomes(model, images, detectors=[Broken()])
    assert found.scores.isfinite().all()
    assert {0.0, torch.finfo(torch.float32).max} == set(found.scores.flatten().tolist())


def test_the_adaptive_attack_is_wrong_as_often_and_less_suspicious(model, images, detectors):
    blind = PGDAttack(0.3, steps=20, loss="margin")
    for detector in detectors:
        knowing = AdaptiveAttack(detector, 0.3, steps=20)
        _, table = measure_with_detectors(model, images, [blind], detectors, adaptive=[knowing])
        rows = {row.attack: row for row in table.rows if row.detector == detector.label}
        before, after = rows[blind.label], rows[knowing.label]
        assert after.images >= 0.9 * before.images > 10
        assert after.auroc < before.auroc - 5


def test_the_adaptive_attack_keeps_its_least_suspicious_perturbation(model, images, detectors):
    """More steps never make a wrong image more suspicious."""
    scores = []
    for steps in (1, 4, 12):
        attack = AdaptiveAttack(detectors[2], 0.3, steps=steps, alpha=0.1)
        outcome = outcomes(model, images, [attack], detectors=[detectors[2]]).attacked[0]
        scores.append(torch.where(outcome.survived, torch.inf, outcome.scores[:, 0]))
    broken = scores[0].isfinite()
    assert int(broken.sum()) > 5
    assert (scores[1][broken] <= scores[0][broken]).all()
    assert (scores[2] <= scores[1]).all()


def test_the_adaptive_attack_does_not_depend_on_batches(model, images, detectors):
    attack = AdaptiveAttack(detectors[1], 0.3, steps=4)
    whole, parts = (
        outcomes(model, images, [attack], detectors=detectors, batch_size=size).attacked[0] for size in (90, 7)
    )
    assert torch.equal(whole.survived, parts.survived)
    torch.testing.assert_close(whole.scores, parts.scores, rtol=1e-3, atol=1e-3)


def test_rejection_needs_scores(model, images, detectors):
    (outcome,) = outcomes(model, images, [PGDAttack(0.3, steps=2)], detectors=detectors).attacked
    thresholds = outcome.scores.median(0).values
    assert torch.equal(outcome.rejected(thresholds), outcome.scores > thresholds)
    with pytest.raises(ValueError, match="scores: got None"):
        Outcome(outcome.survived).rejected(thresholds)


class KeepsNothing(PGDAttack):
    def run(self, model, images, correct):
        return Outcome(correct)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"detectors": []}, ValueError, "detectors: got none, expected at least one"),
        ({"detectors": [Confidence(OBJECTIVE)] * 2}, ValueError, "each of its own label"),
        ({"detectors": ["confidence"]}, TypeError, "detectors: got 'confidence', expected objects with label"),
        ({"adaptive": [AdaptiveAttack(Brightness(), 0.1)]}, ValueError, "whose detector is none of confidence"),
        ({"false_alarms": 1.0}, ValueError, "false_alarms: got 1.0"),
        ({"attacks": [KeepsNothing(0.1)]}, ValueError, "which keeps no perturbations"),
        ({"attacks": [PGDAttack(0.1)] * 2}, ValueError, "two attacks of one label"),
    ],
)
def test_wrong_input(model, images, change, error, message):
    given = {"attacks": [PGDAttack(0.1, steps=1)], "detectors": [Confidence(OBJECTIVE)], **change}
    with pytest.raises(error, match=message):
        measure_with_detectors(model, images, given.pop("attacks"), given.pop("detectors"), **given)
    for field, value in (("steps", 0), ("eps", float("inf"))):
        with pytest.raises(ValueError, match=field):
            AdaptiveAttack(Brightness(), **{"eps": 0.1, field: value})


def test_features_in_the_plane(model, images):
    found = feature_map(model, images, PGDAttack(0.4, steps=3), count=40)
    clean, attacked = int((~found.attacked).sum()), int(found.attacked.sum())
    assert clean == 40
    assert 0 < attacked <= 40
    assert found.points.shape == (clean + attacked, 2)
    assert found.points.isfinite().all()
    file = io.BytesIO()
    plot_features(found, file, title="features")
    assert file.getvalue().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="expected at least 6"):
        feature_map(model, images, PGDAttack(0.0, steps=1), count=3)


def test_basic_iterations_start_at_the_image_and_reach_the_border():
    bim, ilcm = (kind.build(budget(0.3), kind.options(bim_steps=4))[0] for kind in ATTACKS)
    assert (bim.label, ilcm.label) == ("BIM-4, ce", "ILCM-4, ce")
    assert bim.step_size == ilcm.step_size == pytest.approx(0.075)
    assert (bim.random_start, ilcm.targets) == (False, "least-likely")
    with pytest.raises(ValueError, match="from a random start it is PGD"):
        BIMAttack(0.1, random_start=True)


def budget(eps):
    from yopo_ext.evaluation import Budget

    return Budget(eps)
