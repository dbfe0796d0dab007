# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, counted, relu_net
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import Adversary, Free
from yopo_ext.adversaries.method import METHODS

EPS, ALPHA, M = 0.06, 0.025, 3
BALL = Ball(EPS, ALPHA)


def train(free, batches, lr=0.1):
    optimizer = torch.optim.SGD(free.model.parameters(), lr=lr)
    for x, y in batches:
        for _ in range(free.replays):
            optimizer.zero_grad()
            free.accumulate(x, y)
            optimizer.step()


def literal_free(model, batches, lr=0.1):
    """Shafahi et al., algorithm 1, with η itself cut to the box."""
    eps, alpha = torch.tensor(EPS).double(), torch.tensor(ALPHA).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    eta = torch.zeros_like(batches[0][0])
    for x, y in batches:
        for _ in range(M):
            moving = eta.clamp(-eps, eps).clamp(0 - x, 1 - x).requires_grad_()
            optimizer.zero_grad()
            cross_entropy(model(x + moving), y).backward()
            eta = (moving.detach() + alpha * moving.grad.sign()).clamp(-eps, eps).clamp(0 - x, 1 - x)
            optimizer.step()
    return eta


def test_it_is_the_literal_algorithm_over_several_mini_batches():
    batches = [batch(seed=seed) for seed in (1, 2)]
    model = relu_net()
    other = copy.deepcopy(model)
    free = Free(model, BALL, M)
    train(free, batches)
    eta = literal_free(other, batches)
    torch.testing.assert_close(free.eta, eta, rtol=0, atol=1e-9)
    for ours, expected in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_m_passes_and_m_weight_steps_a_mini_batch():
    model = relu_net()
    free = Free(model, BALL, M)
    assert isinstance(free, Adversary)
    before = [parameter.clone() for parameter in model.parameters()]
    with counted(model) as passes:
        train(free, [batch()])
    assert (passes.forward, passes.backward) == (M, M)
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_eta_is_kept_between_mini_batches():
    free = Free(relu_net(), BALL, 1)
    free.accumulate(*batch(6))
    kept = free.eta.clone()
    assert kept.abs().max() > 0
    started = []
    free.model.register_forward_pre_hook(lambda module, args: started.append(args[0].detach().clone()))
    x, y = batch(4, seed=5)
    free.accumulate(x, y)
    torch.testing.assert_close(started[0] - x, kept[:4].clamp(0 - x, 1 - x), rtol=0, atol=1e-12)
    assert torch.equal(free.eta[4:], kept[4:])
    free.accumulate(*batch(8, seed=6))
    assert free.eta.shape[0] == 8


def test_the_memory_survives_a_checkpoint():
    free, other = Free(relu_net(), BALL, 1), Free(relu_net(), BALL, 1)
    free.accumulate(*batch())
    other.load_state_dict(free.state_dict())
    other.model.load_state_dict(free.model.state_dict())
    for one in (free, other):
        one.accumulate(*batch(seed=9))
    assert torch.equal(free.eta, other.eta)


def test_the_published_step_is_eps():
    free = Free(relu_net(), Ball(EPS, METHODS["free"].step_size(EPS, None)), 1)
    free.accumulate(*batch())
    assert free.ball.alpha == EPS
    assert free.eta.abs().max() == torch.tensor(EPS)


@pytest.mark.parametrize(("m", "error"), [(0, "m: got 0"), (-1, "m: got -1")])
def test_no_passes(m, error):
    with pytest.raises(ValueError, match=error):
        Free(relu_net(), BALL, m)
