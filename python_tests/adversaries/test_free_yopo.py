# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, counted, relu_net, seeded
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import Adversary, Free, FreeYOPO
from yopo_ext.adversaries.method import METHODS

EPS, ALPHA, M, N = 0.06, 0.02, 3, 2


def free_yopo(model, layer=slice(0, 2), m=M, n=N, alpha=ALPHA, **options):
    return FreeYOPO(model, tuple(model[layer]), m, n, EPS, alpha, generator=seeded(), **options)


def train(adversary, batches, lr=0.1):
    optimizer = torch.optim.SGD(adversary.model.parameters(), lr=lr, momentum=0.9)
    for x, y in batches:
        for _ in range(adversary.replays):
            optimizer.zero_grad()
            adversary.accumulate(x, y)
            optimizer.step()


def clipped(eta, x):
    eps = torch.tensor(EPS).double()
    return eta.clamp(-eps, eps).clamp(0 - x, 1 - x)


def literal(model, batches, *, start, grad, lr=0.1):
    """A pass, n steps inside conv + ReLU, the first layer's gradient, a step of the weights; m times a mini-batch."""
    first, rest = model[:2], model[2:]
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    draws, eta = seeded(), torch.zeros_like(batches[0][0])
    for x, y in batches:
        for j in range(M):
            drawn = torch.empty_like(x).uniform_(-1, 1, generator=draws) * torch.tensor(EPS).double()
            if start == "random" and j == 0:
                eta = drawn
            eta = clipped(eta, x)
            optimizer.zero_grad()
            output = first(x + eta)
            output.retain_grad()
            cross_entropy(rest(output), y).backward()
            p = output.grad
            if grad == "hamiltonian":
                first.zero_grad()
            for _ in range(N):
                moving = eta.clone().requires_grad_()
                g = torch.autograd.grad((p * first(x + moving)).sum(), moving)[0]
                eta = clipped(eta + torch.tensor(ALPHA).double() * g.sign(), x)
            if grad != "backprop":
                (p * first(x + eta)).sum().backward()
            optimizer.step()
    return eta


@pytest.mark.parametrize("start", ["kept", "random"])
@pytest.mark.parametrize("grad", ["hamiltonian", "backprop", "both"])
def test_it_is_the_literal_algorithm_over_several_mini_batches(start, grad):
    batches = [batch(seed=seed) for seed in (1, 2)]
    model = relu_net()
    other = copy.deepcopy(model)
    adversary = free_yopo(model, start=start, first_layer_grad=grad)
    train(adversary, batches)
    eta = literal(other, batches, start=start, grad=grad)
    torch.testing.assert_close(adversary.eta, eta, rtol=0, atol=1e-9)
    for ours, expected in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_with_one_step_in_a_linear_layer_it_is_free():
    batches = [batch(seed=seed) for seed in (1, 2)]
    ours = free_yopo(relu_net(), slice(0, 1), n=4, alpha=EPS / 4, first_layer_grad="backprop")
    free = Free(relu_net(), Ball(EPS, EPS), M)
    for one in (ours, free):
        train(one, batches)
    torch.testing.assert_close(ours.eta, free.eta, rtol=0, atol=1e-7)
    for one, other in zip(ours.model.parameters(), free.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_m_passes_and_m_weight_steps_a_mini_batch():
    model = relu_net()
    adversary = free_yopo(model)
    assert isinstance(adversary, Adversary)
    assert adversary.replays == M
    with counted(model) as passes:
        train(adversary, [batch()])
    assert (passes.forward, passes.backward) == (M, M)


@pytest.mark.parametrize("start", ["kept", "random"])
def test_smaller_and_larger_mini_batches(start):
    adversary = free_yopo(relu_net(), m=1, start=start)
    starts = []
    adversary.model.register_forward_pre_hook(lambda module, args: starts.append(args[0].detach().clone()))
    for count in (6, 4, 8):
        kept = adversary._kept.eta
        before = None if kept is None else kept.clone()
        x, y = batch(count, seed=count)
        starts.clear()
        adversary.accumulate(x, y)
        first = starts[0] - x
        if start == "kept" and before is not None:
            rows = min(count, len(before))
            torch.testing.assert_close(first[:rows], before[:rows].clamp(0 - x[:rows], 1 - x[:rows]))
            assert not first[rows:].any()
        elif start == "random":
            assert first.any(dim=1).all()
        assert adversary.eta.shape == x.shape
    x, y = batch(6)
    adversary.model[5] = nn.Linear(4, 3).double()  # for images of another size
    adversary.accumulate(x[:, :, :3, :3], y)
    assert adversary.eta.shape == (6, 2, 3, 3)


def test_the_memory_survives_a_checkpoint_and_a_copy():
    for start in ("kept", "random"):
        ours = free_yopo(relu_net(), start=start)
        train(ours, [batch()])
        other = free_yopo(relu_net(), start=start)
        other.load_state_dict(ours.state_dict())
        other.model.load_state_dict(ours.model.state_dict())
        other.generator.set_state(ours.generator.get_state())
        several = (ours, other, copy.deepcopy(ours))
        for one in several:
            train(one, [batch(seed=9)])
        assert torch.equal(several[1].eta, ours.eta)
        assert torch.equal(several[2].eta, ours.eta)


def test_the_memory_is_shared_anew():
    states = [{"eta": torch.arange(6.0).reshape(3, 2)}, {"eta": None}, {"eta": torch.arange(6.0, 8.0).reshape(1, 2)}]
    assert FreeYOPO.reshare(states, lambda count: (1, count))["eta"].tolist() == [[2, 3], [4, 5], [6, 7]]
    assert FreeYOPO.reshare([{"eta": None}], lambda count: (0, count)) == {"eta": None}


def test_the_steps_own_size_is_frees():
    declared = METHODS["free-yopo"]
    assert declared.step_size(0.1, declared.options(n=4)) == pytest.approx(0.025)
    assert declared.step_size(0.1, declared.options(n=0)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"m": 0}, "m: got 0, expected at least 1"), ({"n": -1}, "n: got -1"), ({"start": "zero"}, "start: got")],
)
def test_wrong_options(options, error):
    with pytest.raises(ValueError, match=error):
        free_yopo(relu_net(), **options)
