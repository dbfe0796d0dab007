# SPDX-License-Identifier: MIT

import pytest
import torch
from torch.nn import functional as F

from yopo_ext.evaluation import ATTACK_LOSSES, ce_loss, dlr_loss, margin_loss, targeted_dlr_loss
from yopo_ext.evaluation.losses import targeted_loss

LOGITS = torch.tensor([[1.0, 5.0, 3.0], [4.0, 4.5, -2.0], [0.0, 7.0, 9.0]])
LABELS = torch.tensor([1, 0, 0])
FOUR = torch.tensor([[1.0, 5.0, 3.0, 2.0], [4.0, 4.5, -2.0, 0.0]])


def test_the_largest_other_logit_minus_the_true_one():
    assert margin_loss(LOGITS, LABELS) == torch.tensor([3 - 5.0, 4.5 - 4.0, 9 - 0.0]).sum()
    assert margin_loss(torch.tensor([[2.0, 2.0]]), torch.tensor([0])) == 0


def test_the_margins_gradient_pulls_two_logits_and_does_not_vanish():
    logits = (1000 * LOGITS).requires_grad_()
    margin_loss(logits, LABELS).backward()
    assert torch.equal(logits.grad, torch.tensor([[0.0, -1, 1], [-1, 1, 0], [-1, 0, 1]]))


def test_the_difference_of_logits_ratio():
    # Right by 2 of a spread of 4, wrong by 0.5 of 6.5, wrong by 9 of 9.
    assert dlr_loss(LOGITS, LABELS) == pytest.approx(-2 / 4 + 0.5 / 6.5 + 1)
    assert dlr_loss(7 * LOGITS + 3, LABELS) == pytest.approx(float(dlr_loss(LOGITS, LABELS)))


def test_the_targeted_one_falls_as_the_target_rises():
    labels, targets = torch.tensor([1, 0]), torch.tensor([0, 2])
    expected = (5 - 1) / (5 - (2 + 1) / 2) + (4 - -2) / (4.5 - (0 + -2) / 2)
    assert targeted_dlr_loss(FOUR, labels, targets) == pytest.approx(expected)
    logits = FOUR.clone().requires_grad_()
    targeted_dlr_loss(logits, labels, targets).backward()
    assert (logits.grad.gather(1, targets[:, None]) < 0).all()


def test_logits_that_are_all_alike_have_a_finite_gradient():
    logits = torch.ones(2, 4, requires_grad=True)
    (
        dlr_loss(logits, torch.tensor([0, 1])) + targeted_dlr_loss(logits, torch.tensor([0, 1]), torch.tensor([2, 3]))
    ).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ATTACK_LOSSES)
def test_an_image_does_not_feel_its_companions(name):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator).requires_grad_()
    labels = torch.randint(5, (6,), generator=generator)
    targets = (labels + 1) % 5
    for loss, y in ((ATTACK_LOSSES[name], labels), (targeted_loss(name), torch.stack([targets, labels], 1))):
        assert loss(logits, y).dim() == 0
        (together,) = torch.autograd.grad(loss(logits, y), logits)
        (alone,) = torch.autograd.grad(loss(logits[2:3], y[2:3]), logits)
        assert torch.equal(together[2], alone[2])
        assert together[2].abs().sum() > 0


def test_descending_towards_a_target_by_cross_entropy_and_margin_looks_at_the_target():
    targets = torch.tensor([2, 2, 1])
    for name, loss in (("ce", F.cross_entropy), ("margin", lambda z, y: margin_loss(z, y) / 3)):
        found = targeted_loss(name)(LOGITS, torch.stack([targets, LABELS], 1))
        assert found == pytest.approx(3 * float(loss(LOGITS, targets)))


def test_names():
    assert {"ce": ce_loss, "margin": margin_loss, "dlr": dlr_loss} == ATTACK_LOSSES
    assert ce_loss(LOGITS, LABELS) == pytest.approx(3 * float(F.cross_entropy(LOGITS, LABELS)))


@pytest.mark.parametrize(
    ("loss", "needed"), [(ce_loss, 2), (margin_loss, 2), (dlr_loss, 3), (lambda z, y: targeted_dlr_loss(z, y, y), 4)]
)
def test_too_few_logits_are_named(loss, needed):
    y = torch.zeros(5, dtype=torch.int64)
    loss(torch.randn(5, needed), y)
    for shape in ((5, needed - 1), (5,), (5, needed, 2)):
        with pytest.raises(ValueError, match=rf"logits: got \({shape[0]},.*\), expected \(B, K\) with K >= {needed}"):
            loss(torch.randn(shape), y)
