# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import PGD, Adversary, pgd, random_start
from yopo_ext.stopwatch import Stopwatch

EPS, ALPHA = 0.06, 0.025


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.0), nn.Flatten(), nn.Linear(64, 3)
    )


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(6, 2, 6, 6, generator=generator, dtype=torch.float64)
    x[0] = 0.0
    x[1] = 1.0
    return x.to(dtype), torch.arange(6) % 3


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def literal_pgd(model, x, y, eta, steps):
    eps, alpha = torch.tensor(EPS).double(), torch.tensor(ALPHA).double()
    for _ in range(steps):
        eta = eta.detach().requires_grad_()
        g = torch.autograd.grad(cross_entropy(model(x + eta), y), eta)[0]
        eta = (eta + alpha * g.sign()).clamp(-eps, eps)
        eta = eta.clamp(0 - x, 1 - x)
    return eta.detach()


@pytest.mark.parametrize("start", [True, False])
def test_it_walks_where_the_literal_algorithm_does(start):
    model = net().double().eval()
    x, y = batch()
    eta0 = random_start(x, eps=EPS, generator=seeded()) if start else torch.zeros_like(x)
    eta = pgd(model, x, y, eps=EPS, alpha=ALPHA, steps=4, random_start=start, generator=seeded())
    torch.testing.assert_close(eta, literal_pgd(model, x, y, eta0, 4), rtol=0, atol=1e-12)
    assert not torch.equal(eta, eta0)


def test_nothing_but_eta_is_touched():
    model = net()
    x, y = batch(torch.float32)
    clean = x.clone()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    with torch.no_grad():
        eta = pgd(model, x.requires_grad_(), y, eps=EPS, alpha=ALPHA, steps=2)
    assert not eta.requires_grad
    assert model.training
    assert x.grad is None
    assert torch.equal(x, clean)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(parameter.grad is None for parameter in model[1:].parameters())


@pytest.mark.parametrize("eps", [8 / 255, 0.1, [0.03, 0.07]])
def test_linf_is_feasible_exactly(eps):
    model = net().eval()
    x, y = batch(torch.float32)
    eta = pgd(model, x, y, eps=eps, alpha=0.02, steps=5)
    assert (eta.abs() <= torch.tensor(eps).reshape(1, -1, 1, 1)).all()
    assert (x + eta).min() >= 0
    assert (x + eta).max() <= 1
    free = pgd(model, x, y, eps=eps, alpha=0.02, steps=5, bounds=None)
    assert (x + free).max() > 1


def test_l2_is_feasible_and_reaches_the_sphere():
    model = net().double().eval()
    x, y = batch()
    eta = pgd(model, x, y, eps=0.5, alpha=0.2, steps=10, norm="l2", bounds=None)
    norms = eta.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full_like(norms, 0.5), rtol=1e-6, atol=0)


def test_it_raises_the_loss_and_a_negative_alpha_lowers_it():
    model = net().eval()
    x, y = batch(torch.float32)

    def loss(alpha):
        eta = pgd(model, x, y, eps=EPS, alpha=alpha, steps=5, random_start=False)
        return cross_entropy(model(x + eta), y)

    assert loss(-ALPHA) < loss(0.0) < loss(ALPHA)


def test_no_steps_give_the_start():
    x, y = batch(torch.float32)
    eta = pgd(net(), x, y, eps=EPS, alpha=ALPHA, steps=0, generator=seeded())
    assert torch.equal(eta, random_start(x, eps=EPS, generator=seeded()))


def test_an_empty_batch():
    x, y = batch(torch.float32)
    eta = pgd(net().eval(), x[:0], y[:0], eps=EPS, alpha=ALPHA, steps=2)
    assert eta.shape == (0, 2, 6, 6)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": 1.5}, TypeError, "steps"),
        ({"eps": -1}, ValueError, "eps"),
        ({"eps": [1, 2, 3]}, ValueError, "eps"),
        ({"alpha": float("inf")}, ValueError, "alpha"),
        ({"bounds": (1, 0)}, ValueError, "bounds"),
        ({"norm": "l1"}, ValueError, "norm"),
        ({"norm": "l2", "eps": [0.1, 0.2]}, ValueError, "eps"),
        ({"x": torch.zeros(2, 3)}, TypeError, "x: got torch.float32 of shape"),
        ({"x": [1]}, TypeError, "x: got list"),
    ],
)
def test_bad_arguments_are_named(change, error, name):
    x, y = batch(torch.float32)
    with pytest.raises(error, match=name):
        pgd(net(), **{"x": x, "y": y, "eps": EPS, "alpha": ALPHA, "steps": 1, **change})


def test_training_takes_the_gradient_at_the_perturbed_images():
    model = net().double()
    x, y = batch()
    crafting = copy.deepcopy(model)
    adversary = PGD(model, Ball(EPS, ALPHA), 3, generator=seeded())
    assert isinstance(adversary, Adversary)
    adversary.stopwatch = Stopwatch()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    metrics = adversary.accumulate(x, y)
    expected = pgd(crafting, x, y, eps=EPS, alpha=ALPHA, steps=3, generator=seeded())
    assert torch.equal(adversary.eta, expected)
    crafting.zero_grad()
    logits = crafting(x + expected)
    loss = cross_entropy(logits, y)
    loss.backward()
    torch.testing.assert_close(model[0].weight.grad, crafting[0].weight.grad + 1)
    torch.testing.assert_close(metrics["loss"], loss.detach())
    assert metrics["correct"] == (logits.argmax(1) == y).sum()
    assert metrics["count"] == 6
    assert set(adversary.stopwatch.totals()) == {"passes", "inner"}


@pytest.mark.parametrize(("bn_mode", "updates"), [("train", 4), ("eval", 1)])
def test_batch_norm_while_crafting(bn_mode, updates):
    model = net()
    model[1].running_mean.fill_(3.0)
    adversary = PGD(model, Ball(EPS, ALPHA), 3, bn_mode=bn_mode)
    adversary.accumulate(*batch(torch.float32))
    assert model[1].num_batches_tracked == updates
    assert model[1].training
    copy.deepcopy(adversary).accumulate(*batch(torch.float32))
    assert model[1].num_batches_tracked == updates


def test_batch_norm_comes_back_after_an_error():
    model = net()
    with pytest.raises(RuntimeError):
        PGD(model, Ball(EPS, ALPHA), 3, bn_mode="eval").accumulate(torch.rand(2, 5, 6, 6), torch.zeros(2).long())
    assert model[1].training


@pytest.mark.parametrize(("name", "value"), [("bn_mode", "freeze"), ("steps", -1)])
def test_the_adversarys_own_arguments_are_checked_at_once(name, value):
    with pytest.raises(ValueError, match=name):
        PGD(net(), Ball(EPS, ALPHA), **{name: value})
