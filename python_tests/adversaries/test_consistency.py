# SPDX-License-Identifier: MIT
"""The outputs where the attack ended, compared with those where it began: against the loss written out."""

import copy

import pytest
import torch
from passes import batch, counted, gradients, relu_net, seeded
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, PGD
from yopo_ext.adversaries.consistency import Consistency
from yopo_ext.adversaries.starts import Uniform
from yopo_ext.loss_scale import LossScale
from yopo_ext.objectives import BinaryCrossEntropy, Trades

BALL = Ball(0.06, 0.05)


@pytest.mark.parametrize("bn_mode", ["train", "eval"])
@pytest.mark.parametrize("outputs", ["graph", "detached"])
@pytest.mark.parametrize("steps", [1, 3])
def test_against_the_loss_written_out(outputs, steps, bn_mode):
    x, y = batch()
    ours, other = relu_net(), relu_net()
    adversary = PGD(ours, BALL, steps, generator=seeded(), consistency=Consistency(3.0, outputs), bn_mode=bn_mode)
    with counted(ours) as passes:
        metrics = adversary.accumulate(x, y)
    assert passes.forward == steps + 1  # none is added
    if bn_mode == "eval":
        other[2].eval()
    eta0 = Uniform(seeded()).draw(BALL.feasible_set(x), None)
    prior = other(x + eta0)
    other.train()
    now = other(x + adversary.eta)
    prior = prior if outputs == "graph" else prior.detach()
    loss = cross_entropy(now, y) + 3.0 * ((now - prior) ** 2).sum() / now.numel()
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for mine, theirs in zip(gradients(ours), gradients(other), strict=True):
        torch.testing.assert_close(mine, theirs)
    plain = relu_net()
    PGD(plain, BALL, steps, generator=seeded(), bn_mode=bn_mode).accumulate(x, y)
    assert not torch.allclose(gradients(plain)[-2], gradients(ours)[-2])


def test_a_scaled_loss_scales_it_too():
    x, y = batch()
    found = []
    for factor in (1.0, 64.0):
        model, scale = relu_net(), LossScale(torch.device("cpu"))
        scale.factor.fill_(factor)
        adversary = FGSM(model, BALL, generator=seeded(), consistency=Consistency(2.0))
        with scale.in_use():
            adversary.accumulate(x, y)
        found.append([one / factor for one in gradients(model)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_share_of_it_counts():
    x, y = batch()
    whole, ramped = FGSM(relu_net(), BALL, generator=seeded(), consistency=Consistency(1.5)), Consistency(6.0)
    part = FGSM(relu_net(), BALL, generator=seeded(), consistency=ramped)
    place = None
    for share in (1.0, 0.25):  # the place stays: a recorded pass reads it
        part.model.load_state_dict(whole.model.state_dict())
        part.model.zero_grad()
        part.generator.set_state(seeded().get_state())
        ramped.share = share
        part.accumulate(x, y)
        place = place or ramped._now.data_ptr()
        assert ramped._now.data_ptr() == place
    whole.accumulate(x, y)
    for one, other in zip(gradients(whole.model), gradients(part.model), strict=True):
        torch.testing.assert_close(one, other)


def test_other_objectives():
    """TRADES' clean outputs come beside it; one output of two classes is read as two logits."""
    x, y = batch()
    model = relu_net()
    copied = copy.deepcopy(model)
    adversary = FGSM(model, BALL, loss=Trades(beta=2.0), generator=seeded(), consistency=Consistency(2.0))
    adversary.accumulate(x, y)
    eta0 = Uniform(seeded()).draw(BALL.feasible_set(x), None)
    prior, clean, now = copied(x + eta0), copied(x), copied(x + adversary.eta)
    (Trades(beta=2.0).train(now, y, clean) + 2.0 * (now - prior).square().mean()).backward()
    for one, other in zip(gradients(model), gradients(copied), strict=True):
        torch.testing.assert_close(one, other)
    two = nn.Sequential(nn.Flatten(), nn.Linear(72, 1)).double()
    FGSM(two, BALL, loss=BinaryCrossEntropy(), consistency=Consistency(1.0)).accumulate(x, y % 2)
    assert two[1].weight.grad.any()


class NoLogits:
    needs_clean = False

    def attack(self, outputs, y):
        return cross_entropy(outputs, y)

    def train(self, outputs, y, clean=None):
        return cross_entropy(outputs, y)

    def predict(self, outputs):
        return None


def test_what_is_refused():
    x, y = batch()
    with pytest.raises(ValueError, match=r"consistency: got objective NoLogits, expected one with logits"):
        FGSM(relu_net(), BALL, loss=NoLogits(), consistency=Consistency(1.0))
    with pytest.raises(TypeError, match="consistency: got float, expected a yopo_ext"):
        FGSM(relu_net(), BALL, consistency=10.0)
    for weight in ("a", True):
        with pytest.raises(TypeError, match=f"consistency: got {weight!r}, expected a finite number"):
            Consistency(weight)
    with pytest.raises(ValueError, match="consistency: got -1"):
        Consistency(-1.0)
    with pytest.raises(ValueError, match="consistency_outputs: got 'both'"):
        Consistency(1.0, "both")
    with pytest.raises(ValueError, match="steps: got 0 with consistency, which looks at the first step"):
        PGD(relu_net(), BALL, 0, consistency=Consistency(1.0)).accumulate(x, y)
    flat = nn.Sequential(relu_net(), nn.Unflatten(1, (3, 1)))
    adversary = FGSM(
        flat, BALL, loss=lambda outputs, y: cross_entropy(outputs[:, :, 0], y), consistency=Consistency(1.0)
    )
    with pytest.raises(TypeError, match=r"consistency: got logits torch.float64 \(6, 3, 1\), expected"):
        adversary.accumulate(x, y)
    assert all(parameter.grad is None for parameter in flat.parameters())
