# SPDX-License-Identifier: MIT

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext.adversaries import Adversary, Natural
from yopo_ext.stopwatch import Stopwatch


def test_the_ordinary_gradient_and_metrics():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.rand(5, 3, 2, 2), torch.arange(5) % 3
    loss = cross_entropy(model(x), y)
    expected = torch.autograd.grad(loss, model[1].weight)[0]
    adversary = Natural(model)
    assert isinstance(adversary, Adversary)
    adversary.stopwatch = Stopwatch()
    for times in (1, 2):
        metrics = adversary.accumulate(x, y)
        torch.testing.assert_close(model[1].weight.grad, times * expected)
    assert torch.equal(metrics["loss"], loss.detach())
    assert metrics["correct"] == (model(x).argmax(1) == y).sum()
    assert metrics["count"] == 5
    assert not any(value.requires_grad or value.dim() for value in metrics.values())
    assert list(adversary.stopwatch.totals()) == ["passes"]


def test_class_probabilities_count_their_largest():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    model[1].weight.data.zero_()
    model[1].bias.data.copy_(torch.tensor([0.0, 0.0, 1.0]))
    y = torch.tensor([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
    assert Natural(model).accumulate(torch.rand(2, 1, 2, 2), y)["correct"] == 1


def test_a_loss_of_many_values_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"loss: returned shape \(2,\)"):
        Natural(model, loss=lambda logits, y: logits.sum(1)).accumulate(torch.rand(2, 1, 2, 2), torch.tensor([0, 1]))
