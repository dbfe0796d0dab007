# SPDX-License-Identifier: MIT
"""Ensembles, and their first layers as one: one kernel call for all members, with the members' own arithmetic."""

from __future__ import annotations

import copy

import pytest
import torch
from batch_norm_net import BatchNormNet
from literal_yopo import CutNetwork, mini_batch
from torch import nn

from yopo_ext import YOPO, FirstLayer, capture_costate, ops
from yopo_ext.adversaries import PGD
from yopo_ext.ball import Ball
from yopo_ext.layer_chain import chain_of
from yopo_ext.models import (
    CentreScores,
    DigitsCNN,
    Ensemble,
    PreActResNet18,
    SmallCNN,
    attach_scores,
    max_mahalanobis_centres,
)
from yopo_ext.objectives import AdaptiveDiversity

ADP = AdaptiveDiversity()
MAKERS = {
    "conv + relu": lambda: DigitsCNN(),
    "normalised": lambda: DigitsCNN(mean=(0.4,), std=(0.3,), activation="tanh"),
    "conv + batch norm + relu": lambda: BatchNormNet(1, 10),
    "centres": lambda: attach_scores(DigitsCNN(num_classes=16), CentreScores(max_mahalanobis_centres(10, 16))),
}


def ensemble(make, members=3):
    torch.manual_seed(0)
    return Ensemble([make() for _ in range(members)])


def batch(count=6, channels=1, side=8):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, side, side, generator=generator), torch.arange(count) % 10


@pytest.fixture
def kernel_calls(monkeypatch):
    calls = []
    run = ops.packed_inner_ascent

    def counted(*arguments, **options):
        calls.append(arguments[0][3].shape[0])
        return run(*arguments, **options)

    monkeypatch.setattr(ops, "packed_inner_ascent", counted)
    return calls


@pytest.mark.parametrize("kind", MAKERS)
def test_outputs_are_the_members_side_by_side(kind):
    model, (x, _) = ensemble(MAKERS[kind]).eval(), batch()
    torch.testing.assert_close(model(x), torch.stack([member(x) for member in model.members], 1))
    for name, one in model.alone().items():
        number = int(name.split()[1]) - 1
        torch.testing.assert_close(one.eval()(x)[:, 0], model(x)[:, number])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("members", [1, 3])
def test_one_kernel_call_a_pass_for_all_members(kind, members, kernel_calls):
    model, (x, y) = ensemble(MAKERS[kind], members).train(), batch()
    yopo = YOPO(model, model.first_layer, m=4, n=3, eps=0.1, alpha=0.03, loss=ADP)
    yopo.accumulate(x, y)
    width = sum(member.first_layer[-2 if kind != "conv + batch norm + relu" else 0].weight.shape[0]
                for member in model.members)  # fmt: skip
    assert kernel_calls == [width] * 4
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert "input gradient" in str(yopo.explain(x)) or yopo.first_layer.input_gradient_error < 1e-3


@pytest.mark.parametrize("kind", MAKERS)
def test_the_steps_climb_the_sum_of_the_members_hamiltonians(kind):
    model, (x, y) = ensemble(MAKERS[kind]).eval().double(), batch()
    x, layer = x.double(), FirstLayer(model.first_layer)
    with capture_costate(layer) as costate:
        ADP.train(model(x), y).backward()
    eta = torch.zeros_like(x)
    found = layer.inner_ascent(x, eta, costate.value, eps=0.125, alpha=0.03125, steps=4)
    widths = [len(part) for part in costate.value[0].split(costate.value.shape[1] // 3)]
    for _ in range(4):
        leaf = (x + eta).detach().requires_grad_()
        h = 0.0
        for member, p in zip(model.members, costate.value.split(widths, 1), strict=True):
            output = leaf
            for module in member.first_layer:
                output = module(output)
            h = h + (p * output).sum()
        (g,) = torch.autograd.grad(h, leaf)
        eta = (eta + 0.03125 * g.sign()).clamp(-0.125, 0.125)
        eta = (x + eta).clamp(0, 1) - x
    torch.testing.assert_close(found, eta, rtol=0, atol=1e-12)


@pytest.mark.parametrize("first_layer_grad", ["hamiltonian", "both", "backprop"])
def test_a_mini_batch_of_yopo_is_the_literal_one(first_layer_grad):
    ours = ensemble(MAKERS["conv + relu"]).double()
    theirs = copy.deepcopy(ours)
    x, y = batch()
    x = x.double()
    options = {"m": 3, "n": 2, "eps": 0.1, "alpha": 0.03, "first_layer_grad": first_layer_grad}
    # Cross entropy of the mean probability is what the literal one's own loss makes of its logarithm.
    plain = AdaptiveDiversity(0.0, 0.0)

    class Mean:
        needs_clean = False
        attack = train = lambda self, outputs, y: plain.attack(outputs, y)
        predict = staticmethod(plain.predict)

    yopo = YOPO(
        ours, ours.first_layer, loss=Mean(), reduction="sum", generator=torch.Generator().manual_seed(2), **options
    )
    yopo.accumulate(x, y)

    def first(u):
        parts = []
        for member in theirs.members:
            conv, act = member.first_layer
            parts.append(act(conv(u)))
        return torch.cat(parts, 1)

    def rest(h):
        outputs = [member.tail(part) for member, part in zip(theirs.members, h.split(32, 1), strict=True)]
        return plain.logits(torch.stack(outputs, 1))

    parameters = tuple(one for member in theirs.members for one in member.first_layer[0].parameters())
    # In-place activations of the tail would write into split's views.
    for module in theirs.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    mini_batch(
        CutNetwork(theirs, first, rest, parameters), x, y, generator=torch.Generator().manual_seed(2),
        take_over=lambda step: step.eta_after, **options,
    )  # fmt: skip
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-9, msg=name)


def test_pgd_on_an_ensemble_climbs_the_mean_prediction_s_loss():
    model, (x, y) = ensemble(MAKERS["conv + relu"]).eval(), batch()
    attack = PGD(model, Ball(0.2, 0.05), 5, loss=ADP, random_start=False)
    attack.accumulate(x, y)
    with torch.no_grad():
        assert ADP.attack(model(x + attack.eta), y) > ADP.attack(model(x), y) + 0.005
    assert attack.eta.abs().max() <= 0.2


def test_first_layers_that_differ_go_through_autograd_and_say_so(kernel_calls):
    x, y = batch(4, 1, 28)
    torch.manual_seed(0)
    for members, reason in (
        ([SmallCNN(), SmallCNN(activation="tanh")], "the members' first layers differ in activation"),
        ([SmallCNN(), SmallCNN(mean=(0.1,), std=(0.3,))], "the members' first layers differ in mean|std"),
    ):
        model = Ensemble(members)
        yopo = YOPO(model, model.first_layer, m=2, n=2, eps=0.1, alpha=0.03, loss=ADP)
        yopo.accumulate(x, y)
        assert yopo.explain(x).path == "autograd"
        assert any(word in yopo.explain(x).reason for word in reason.split("|"))
    assert kernel_calls == []


def test_first_layers_of_different_sizes_are_flattened():
    class Wide(DigitsCNN):
        def __init__(self):
            super().__init__()
            self.features.conv1 = nn.Conv2d(1, 32, 5, padding=2, stride=2)
            self.features.maxpool = nn.Identity()

    model, (x, y) = Ensemble([DigitsCNN(), Wide()]), batch()
    outputs = model.eval()(x)
    torch.testing.assert_close(outputs[:, 0], model.members[0](x))
    torch.testing.assert_close(outputs[:, 1], model.members[1](x))
    yopo = YOPO(model, model.first_layer, m=2, n=2, eps=0.1, alpha=0.03, loss=ADP)
    yopo.accumulate(x, y)
    assert "differ in size" in yopo.explain(x).reason


def test_members_of_linear_first_layers_without_bias(kernel_calls):
    torch.manual_seed(0)
    model = Ensemble([PreActResNet18(1, 10) for _ in range(2)])
    x, y = batch(2)
    YOPO(model, model.first_layer, m=2, n=2, eps=0.1, alpha=0.03, loss=ADP).accumulate(x, y)
    assert kernel_calls == [128, 128]


def test_keys_are_the_members_own_and_copies_point_into_the_copy():
    model = ensemble(MAKERS["conv + batch norm + relu"])
    keys = set(model.state_dict())
    model(batch()[0])
    assert set(model.state_dict()) == keys
    assert keys == {f"members.{k}.{key}" for k in range(3) for key in BatchNormNet(1, 10).state_dict()}
    other = copy.deepcopy(model)
    mine, theirs = ({id(p) for p in FirstLayer(one.first_layer).parameters()} for one in (model, other))
    assert not mine & theirs
    assert theirs <= {id(p) for p in other.parameters()}
    other.members[1].bn1 = nn.BatchNorm2d(6)  # as SyncBatchNorm takes their place
    assert other.members[1].bn1 in set(other.first_layer[0].modules())
    assert model.first_layer[0] is model.first_layer[0]


def test_an_ensemble_is_no_chain_of_layers():
    with pytest.raises(ValueError, match="chain: got an ensemble, whose members run side by side"):
        chain_of(ensemble(MAKERS["conv + relu"]))


def test_members_that_do_not_fit_together():
    with pytest.raises(ValueError, match=r"disagree in classes, their outputs are \(10,\), \(5,\)"):
        Ensemble([DigitsCNN(), DigitsCNN(num_classes=5)])(batch()[0])
    with pytest.raises(ValueError, match="members: got a Linear, which has no first_layer and tail"):
        Ensemble([nn.Linear(2, 2)])
    one = DigitsCNN()
    with pytest.raises(ValueError, match="members: got 2, expected one network or more, each its own"):
        Ensemble([one, one])
    with pytest.raises(ValueError, match="members: got 0"):
        Ensemble([])
