# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, counted, gradients, relu_net, seeded
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from yopo_ext import Ball
from yopo_ext.adversaries import TRADES, TRADESYOPO, Adversary
from yopo_ext.objectives import Trades

EPS, ALPHA, STEPS, M, N, BETA = 0.06, 0.025, 3, 2, 3, 5.0
BALL = Ball(EPS, ALPHA)


def pgd_trades(model, **options):
    return TRADES(model, BALL, STEPS, loss=Trades(BETA), generator=seeded(), **options)


def yopo_trades(model, **options):
    return TRADESYOPO(model, (model[0], model[1]), BALL, M, N, loss=Trades(BETA), generator=seeded(), **options)


BOTH = pytest.mark.parametrize("build", [pgd_trades, yopo_trades])


def divergence(logits, clean):
    return kl_div(log_softmax(logits, 1), softmax(clean, 1), reduction="sum")


def clipped(eta, x):
    eps = torch.tensor(EPS).double()
    return eta.clamp(-eps, eps).clamp(0 - x, 1 - x)


def start(x):
    return clipped(0.001 * torch.empty_like(x).normal_(generator=seeded()), x)


def literal_trades(model, x):
    """The published attack: PGD on the divergence, the model in eval mode."""
    model.eval()
    eta, clean = start(x), model(x).detach()
    for _ in range(STEPS):
        eta = eta.requires_grad_()
        g = torch.autograd.grad(divergence(model(x + eta), clean), eta)[0]
        eta = clipped(eta.detach() + torch.tensor(ALPHA).double() * g.sign(), x)
    return eta


def literal_trades_yopo(model, x):
    """The attack by YOPO: p of the divergence, then n steps inside conv + ReLU."""
    model.eval()
    eta, clean = start(x), model(x).detach()
    first, rest = model[:2], model[2:]
    for _ in range(M):
        leaf = first(x + eta).detach().requires_grad_()
        p = torch.autograd.grad(divergence(rest(leaf), clean), leaf)[0]
        for _ in range(N):
            moving = eta.clone().requires_grad_()
            g = torch.autograd.grad((p * first(x + moving)).sum(), moving)[0]
            eta = clipped(eta + torch.tensor(ALPHA).double() * g.sign(), x)
    return eta


@pytest.mark.parametrize(
    ("build", "literal"), [(pgd_trades, literal_trades), (yopo_trades, literal_trades_yopo)], ids=["pgd", "yopo"]
)
def test_it_walks_where_the_literal_algorithm_does(build, literal):
    x, y = batch()
    adversary = build(relu_net(dropout=0.5))
    expected = literal(relu_net(dropout=0.5), x)
    adversary.accumulate(x, y)
    torch.testing.assert_close(adversary.eta, expected, rtol=0, atol=1e-9)
    assert adversary.eta.abs().max() > 0.9 * EPS


@BOTH
def test_the_weights_get_the_gradient_of_both_terms(build):
    x, y = batch()
    adversary = build(relu_net())
    reference = copy.deepcopy(adversary.model)
    for parameter in adversary.model.parameters():
        parameter.grad = torch.ones_like(parameter)  # is added to
    metrics = adversary.accumulate(x, y)
    clean, adversarial = reference(x), reference(x + adversary.eta)
    loss = cross_entropy(clean, y) + BETA * divergence(adversarial, clean) / len(x)
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for ours, expected in zip(gradients(adversary.model), gradients(reference), strict=True):
        torch.testing.assert_close(ours, expected + 1)


@BOTH
def test_crafting_is_in_eval_mode_and_the_mode_is_restored(build):
    model = relu_net(dropout=0.5)
    model[3].eval()  # on purpose
    with counted(model) as passes:
        build(model).accumulate(*batch())
    crafting = 1 + (STEPS if build is pgd_trades else M)
    assert passes.training == [False] * crafting + [True] * 2
    assert passes.forward == crafting + 2
    assert model[2].num_batches_tracked == 2
    assert [module.training for module in model] == [True, True, True, False, True, True]
    assert all(parameter.requires_grad for parameter in model.parameters())


@BOTH
def test_crafting_in_train_mode_on_request(build):
    model = relu_net()
    with counted(model) as passes:
        build(model, bn_mode="train").accumulate(*batch())
    assert all(passes.training)


def test_frozen_parameters_stay_frozen():
    model = relu_net()
    model[0].weight.requires_grad_(False)
    yopo_trades(model).accumulate(*batch())
    assert not model[0].weight.requires_grad
    assert model[0].weight.grad is None
    assert model[0].bias.grad is not None


def test_they_are_adversaries():
    for build in (pgd_trades, yopo_trades):
        assert isinstance(build(relu_net()), Adversary)


def test_images_out_of_bounds_and_wrong_counts():
    x, y = batch()
    with pytest.raises(ValueError, match="bounds"):
        yopo_trades(relu_net()).accumulate(x * 3, y)
    with pytest.raises(ValueError, match="m: got 0"):
        TRADESYOPO(relu_net(), relu_net()[0], BALL, 0)
    with pytest.raises(ValueError, match="bn_mode"):
        TRADES(relu_net(), BALL, bn_mode="frozen")


@BOTH
def test_autocast_to_bfloat16_reaches_every_weight(build):
    """The clean pass without gradients must not leave its casts to the passes with them."""
    x, y = batch()
    model = relu_net().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        build(model).accumulate(x.float(), y)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
