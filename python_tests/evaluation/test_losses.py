# SPDX-License-Identifier: MIT

import torch
from torch.nn import functional as F

from yopo_ext.evaluation import ATTACK_LOSSES, margin_loss

LOGITS = torch.tensor([[1.0, 5.0, 3.0], [4.0, 4.5, -2.0], [0.0, 7.0, 9.0]])


def test_the_largest_other_logit_minus_the_true_one():
    labels = torch.tensor([1, 0, 0])
    assert margin_loss(LOGITS, labels) == torch.tensor([3 - 5.0, 4.5 - 4.0, 9 - 0.0]).mean()
    assert margin_loss(LOGITS, labels).dim() == 0
    assert margin_loss(torch.tensor([[2.0, 2.0]]), torch.tensor([0])) == 0


def test_its_gradient_pulls_two_logits_and_does_not_vanish():
    logits = (1000 * LOGITS).requires_grad_()
    margin_loss(logits, torch.tensor([1, 0, 0])).backward()
    assert torch.equal(logits.grad, torch.tensor([[0, -1, 1], [-1, 1, 0], [-1, 0, 1]]) / 3)


def test_names():
    assert {"ce": F.cross_entropy, "margin": margin_loss} == ATTACK_LOSSES
