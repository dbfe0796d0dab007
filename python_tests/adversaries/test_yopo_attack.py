# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, counted, gradients, relu_net, seeded
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, Adversary, YOPOAttack
from yopo_ext.adversaries.method import METHODS
from yopo_ext.adversaries.starts import Start
from yopo_ext.objectives import Trades, as_objective
from yopo_ext.stopwatch import NoStopwatch

EPS, ALPHA, M, N = 0.06, 0.025, 2, 3
BALL = Ball(EPS, ALPHA)
LINEAR, RELU = slice(0, 1), slice(0, 2)


def attack(model, layer=RELU, ball=BALL, m=M, n=N, **options):
    return YOPOAttack(model, tuple(model[layer]), ball, m, n, generator=seeded(), **options)


def clipped(eta, x):
    eps = torch.tensor(EPS).double()
    return eta.clamp(-eps, eps).clamp(0 - x, 1 - x)


def literal_attack(model, x, y, *, random, m=M, n=N):
    """p by the network behind conv + ReLU, then n steps inside these, m times."""
    first, rest = model[:2], model[2:]
    draws = torch.empty_like(x).uniform_(-1, 1, generator=seeded()) * torch.tensor(EPS).double()
    eta = clipped(draws if random else torch.zeros_like(x), x)
    for _ in range(m):
        leaf = first(x + eta).detach().requires_grad_()
        p = torch.autograd.grad(cross_entropy(rest(leaf), y), leaf)[0]
        for _ in range(n):
            moving = eta.clone().requires_grad_()
            g = torch.autograd.grad((p * first(x + moving)).sum(), moving)[0]
            eta = clipped(eta + torch.tensor(ALPHA).double() * g.sign(), x)
    return eta


@pytest.mark.parametrize("bn_mode", ["train", "eval"])
@pytest.mark.parametrize("random", [True, False])
def test_it_is_the_literal_algorithm(random, bn_mode):
    x, y = batch()
    model = relu_net()
    with torch.no_grad():
        model(5 * x - 1)  # running statistics of its own
    other = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # is added to
    adversary = attack(model, random_start=random, bn_mode=bn_mode)
    metrics = adversary.accumulate(x, y)
    other[2].train(bn_mode == "train")
    eta = literal_attack(other, x, y, random=random)
    torch.testing.assert_close(adversary.eta, eta, rtol=0, atol=1e-9)
    assert eta.abs().max() > 0.9 * EPS
    loss = cross_entropy(other.train()(x + adversary.eta), y)
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for ours, expected in zip(gradients(model), gradients(other), strict=True):
        torch.testing.assert_close(ours, expected + 1)
    for ours, expected in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("layer", "n"), [(LINEAR, 1), (LINEAR, 4), (RELU, 1)], ids=["linear", "linear, 4", "relu"])
def test_one_step_and_any_number_in_a_linear_layer_are_fgsm(layer, n, norm):
    """One step is FGSM's wherever the network is cut; in a linear layer n steps of 1/n are."""
    x, y = batch()
    eps = EPS if norm == "linf" else 0.5
    adversary = attack(relu_net(), layer, Ball(eps, 1.25 * eps / n, norm=norm), 1, n)
    fast = FGSM(relu_net(), Ball(eps, 1.25 * eps, norm=norm), generator=seeded())
    for _ in range(2):  # the first mini-batch is checked, the second is not
        for one in (adversary, fast):
            one.model.zero_grad()
            one.accumulate(x, y)
        if norm == "linf" or n == 1:  # n projections on a sphere cut corners
            torch.testing.assert_close(adversary.eta, fast.eta, rtol=0, atol=1e-7)
            assert torch.equal(adversary.eta.sign(), fast.eta.sign())
            for ours, expected in zip(gradients(adversary.model), gradients(fast.model), strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def test_in_a_nonlinear_layer_the_steps_part_from_fgsms():
    x, y = batch()
    etas = []
    for n in (1, 8):
        adversary = attack(relu_net(), RELU, Ball(EPS, EPS / n), 1, n)
        adversary.accumulate(x, y)
        etas.append(adversary.eta)
    assert not torch.allclose(*etas, atol=EPS / 8)


class Convolutions(TorchDispatchMode):
    """Notes of every convolution's backward pass which gradients it made: of the input, the weights, the bias."""

    def __enter__(self):
        self.wanted = []
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.wanted.append(args[-1])
        return func(*args, **(kwargs or {}))


def test_crafting_makes_no_gradient_of_a_weight():
    """Neither the network's, nor the loss's own, nor those of what only a closure knows."""
    torch.manual_seed(3)
    scale, head = nn.Parameter(torch.ones(()).double()), nn.Linear(3, 3).double()

    def climbed(logits, y):
        return cross_entropy(head(scale * logits), y)

    model = relu_net()
    frozen = model[0].bias.requires_grad_(False)
    adversary = attack(model, n=0, attack_objective=climbed)
    feasible = BALL.feasible_set(batch()[0])
    for checked in (False, True):
        with Convolutions() as computed:
            starts = adversary.start.draw(feasible, None)
            adversary._crafting.climb(climbed, batch()[1], BALL, feasible, starts, NoStopwatch())
        assert adversary._crafting.checked
        assert all(one.grad is None for one in (*model.parameters(), scale, *head.parameters()))
        assert not any(weights or biases for _, weights, biases in computed.wanted)
        assert bool(computed.wanted) != checked  # the graph ends behind the first layer
    adversary.accumulate(*batch())
    assert frozen.grad is None
    assert not frozen.requires_grad
    assert all(one.requires_grad and one.grad is not None for one in model[2].parameters())
    assert scale.grad is None


def test_m_passes_and_one_for_the_weights():
    model = relu_net(dropout=0.5)
    with counted(model) as passes:
        adversary = attack(model, bn_mode="eval")
        assert isinstance(adversary, Adversary)
        adversary.accumulate(*batch())
    assert (passes.forward, passes.backward) == (M + 1, M + 1)
    assert model[2].num_batches_tracked == 1
    assert all(module.training for module in model)
    assert adversary.replays == 1


def test_the_start_is_taken_from_one_place():
    class Corner(Start):
        def draw(self, feasible, y):
            return torch.full_like(feasible.x, EPS)

    model, (x, y) = relu_net(), batch()
    adversary = YOPOAttack(model, tuple(model[RELU]), BALL, 1, 0, start=Corner())
    adversary.accumulate(x, y)
    assert torch.equal(adversary.eta, clipped(torch.full_like(x, EPS), x))


def test_an_objective_of_two_passes_and_another_to_climb():
    """TRADES' divergence is descended, the margin of the logits climbed, soft targets in both."""
    x, y = batch()
    y = nn.functional.one_hot(y, 3).double() * 0.8 + 0.2 / 3
    model = relu_net()
    adversary = attack(model, loss=Trades(5.0), attack_objective=lambda logits, y: -(logits * y).sum(1).mean())
    other = copy.deepcopy(model)
    adversary.accumulate(x, y)
    assert not torch.equal(adversary.eta, literal_attack(copy.deepcopy(other), x, y, random=True))
    literal_attack(other, x, y, random=True)  # moves the running statistics as crafting does
    clean, found = other(x), other(x + adversary.eta)
    as_objective(Trades(5.0)).train(found, y, clean).backward()
    for ours, expected in zip(gradients(model), gradients(other), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(("m", "n", "expected"), [(1, 1, 1.25), (1, 5, 0.25), (2, 5, 0.25), (5, 2, 0.25), (1, 0, 1.25)])
def test_the_steps_own_size(m, n, expected):
    declared = METHODS["yopo-attack"]
    assert declared.step_size(0.1, declared.options(m=m, n=n)) == pytest.approx(expected * 0.1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"m": 0}, "m: got 0, expected at least 1"),
        ({"n": -1}, "n: got -1"),
        ({"bn_mode": "frozen"}, "bn_mode: got 'frozen'"),
        ({"bn_statistics": "running"}, "bn_statistics: got 'running'"),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(ValueError, match=error):
        attack(relu_net(), **options)
