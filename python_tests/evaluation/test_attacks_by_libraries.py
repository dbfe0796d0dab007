# SPDX-License-Identifier: MIT
"""Attacks that foolbox and torchattacks bring."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from robustness import batch_of

from yopo_ext.evaluation import ATTACKS, JSMA, Budget, CarliniWagner, PGDAttack, measure, outcomes
from yopo_ext.evaluation.mode import frozen_eval


def test_carlini_and_wagner_find_small_perturbations_of_each_image_alone(model, images):
    pytest.importorskip("foolbox", reason="foolbox is not installed: pip install 'yopo-ext[foolbox]'")
    attack, batch = CarliniWagner(steps=100, searches=4, step_size=0.05), batch_of(images).take(20)
    with frozen_eval(model):
        correct = batch.right(model(batch.x)).detach()
        found = attack.run(model, batch, correct)
        alone = attack.run(model, batch.select(torch.tensor([3, 7])), correct[[3, 7]])
        assert not found.survived.any()
        assert (model(batch.x + found.eta).argmax(1) != batch.y).all()
        torch.testing.assert_close(alone.eta, found.eta[[3, 7]], rtol=1e-3, atol=1e-4)
        # No closer one is found by a gradient's direction, followed to the boundary.
        size = found.eta.flatten(1).norm(dim=1)
        closer = PGDAttack(0.5 * float(size.median()), steps=50, norm="l2", loss="margin").run(model, batch, correct)
        assert closer.survived.float().mean() > 0.4
        sure = CarliniWagner(confidence=2.0, steps=100, searches=4, step_size=0.05).run(model, batch, correct)
        logits = model(batch.x + sure.eta)
    gap = logits.amax(1) - logits.gather(1, batch.y[:, None])[:, 0]
    assert (gap[~sure.survived & correct] >= 2.0 - 1e-3).all()
    assert int((~sure.survived & correct).sum()) > 10
    assert sure.eta.flatten(1).norm(dim=1).median() > 1.2 * size.median()


@pytest.mark.parametrize("attack", [CarliniWagner(steps=1, searches=1), CarliniWagner(confidence=1e6, searches=1)])
def test_images_that_nothing_is_found_for_survive_as_they_are(model, images, attack):
    """foolbox gives a black image back for them, which networks call something."""
    pytest.importorskip("foolbox", reason="foolbox is not installed: pip install 'yopo-ext[foolbox]'")
    batch = batch_of(images).take(20)
    with frozen_eval(model):
        correct = batch.right(model(batch.x)).detach()
        found = attack.run(model, batch, correct)
        black = model(torch.zeros_like(batch.x)).argmax(1)
    assert (black != batch.y)[correct].any()
    assert torch.equal(found.survived, correct)
    assert not found.eta.any()


def test_a_radius_decides_what_counts_and_none_keeps_it_out_of_the_worst_case(model, images):
    pytest.importorskip("foolbox", reason="foolbox is not installed: pip install 'yopo-ext[foolbox]'")
    part, options = images.take(30), {"steps": 60, "searches": 3, "step_size": 0.05}
    free, tiny = CarliniWagner(**options), CarliniWagner(1e-3, 1.0, **options)
    report = measure(model, part, [free, tiny, PGDAttack(0.01, steps=1)])
    assert report.robust["C&W"] < 30 < report.robust["C&W, confidence 1"] == report.clean
    assert report.worst >= report.robust["PGD-1, ce"] > report.robust["C&W"]
    assert report.eps == 1e-3
    assert "of any size, and not part of the worst case: C&W" in report.to_table()
    assert json.loads(report.to_json())["attacks"]["C&W"]["eps"] is None


def test_the_command_s_radius_is_theirs_in_l2_alone():
    kind = ATTACKS["cw"]
    assert [one.eps for one in kind.build(Budget(0.3), kind.options())] == [math.inf]
    several = kind.build(Budget(0.3, "l2"), kind.options(confidences=(0.0, 10.0)))
    assert [(one.eps, one.label) for one in several] == [(0.3, "C&W"), (0.3, "C&W, confidence 10")]


def test_few_pixels_are_turned_on(model, images):
    pytest.importorskip("torchattacks", reason="torchattacks is not installed: pip install 'yopo-ext[torchattacks]'")
    state = torch.get_rng_state()
    (found,) = outcomes(model, images.take(12), [JSMA(share=0.25)]).attacked
    assert torch.equal(torch.get_rng_state(), state)
    batch = batch_of(images).take(12)
    with frozen_eval(model):
        correct = batch.right(model(batch.x)).detach()
        outcome = JSMA(share=0.25).run(model, batch, correct)
        predicted = model(batch.x + outcome.eta).argmax(1)
    assert torch.equal(outcome.survived, found.survived)
    assert torch.equal(outcome.survived, correct & (predicted == batch.y))
    assert (outcome.eta >= 0).all()
    changed = (outcome.eta.flatten(1) > 0).sum(1)
    assert 0 < int(changed.max()) <= 4
    assert not outcome.survived.all()


@pytest.mark.parametrize(("attack", "package"), [(CarliniWagner(), "foolbox"), (JSMA(), "torchattacks")])
def test_a_missing_package_is_said_before_any_work(model, images, monkeypatch, attack, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install 'yopo-ext\[{package}\]'"):
        measure(model, images, [attack])


def test_values_out_of_range():
    for make, message in (
        (lambda: CarliniWagner(confidence=-1), "confidence: got -1"),
        (lambda: CarliniWagner(steps=0), "steps: got 0"),
        (lambda: JSMA(share=0.0), "share: got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
