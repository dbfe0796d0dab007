# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, counted, gradients, relu_net, seeded
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, Adversary
from yopo_ext.adversaries.method import METHODS

EPS = 0.06
BALL = Ball(EPS, EPS)


def test_fast_is_one_step_of_a_quarter_more_than_eps():
    x, y = batch()
    ball = Ball(EPS, METHODS["fast"].step_size(EPS, None))
    fast = FGSM(relu_net(), ball, generator=seeded())
    one_step = PGD(relu_net(), Ball(EPS, 1.25 * EPS), 1, generator=seeded())
    fast.accumulate(x, y)
    one_step.accumulate(x, y)
    assert torch.equal(fast.eta, one_step.eta)
    assert all(map(torch.equal, gradients(fast.model), gradients(one_step.model)))
    assert fast.eta.abs().max() <= EPS


@pytest.mark.parametrize("build", [FGSM, NFGSM])
def test_two_passes_a_mini_batch(build):
    model = relu_net()
    with counted(model) as passes:
        adversary = build(model, BALL)
        assert isinstance(adversary, Adversary)
        adversary.accumulate(*batch())
    assert (passes.forward, passes.backward) == (2, 2)
    assert adversary.replays == 1


def literal_n_fgsm(model, x, y, noise):
    eps = torch.tensor(EPS).double()
    half_width = torch.tensor(EPS * noise).double()
    start = torch.empty_like(x).uniform_(-1, 1, generator=seeded()) * half_width
    start = start.clamp(0 - x, 1 - x).requires_grad_()
    g = torch.autograd.grad(cross_entropy(model(x + start), y), start)[0]
    return (start.detach() + eps * g.sign()).clamp(0 - x, 1 - x)


@pytest.mark.parametrize("noise", [0.0, 1.0, 2.0])
def test_n_fgsm_is_not_projected_on_the_ball(noise):
    x, y = batch()
    adversary = NFGSM(relu_net(), BALL, noise=noise, generator=seeded())
    expected = literal_n_fgsm(relu_net(), x, y, noise)
    adversary.accumulate(x, y)
    torch.testing.assert_close(adversary.eta, expected, rtol=0, atol=1e-7)
    assert (1 + noise) * EPS >= adversary.eta.abs().max() - 1e-6
    if noise:
        assert adversary.eta.abs().max() > 1.2 * EPS
    assert ((x + adversary.eta) >= -1e-7).all()
    assert ((x + adversary.eta) <= 1 + 1e-7).all()


def test_n_fgsm_trains_on_what_it_found():
    x, y = batch()
    model = relu_net().eval()
    other = copy.deepcopy(model)
    adversary = NFGSM(model, BALL, generator=seeded())
    adversary.accumulate(x, y)
    cross_entropy(other(x + adversary.eta), y).backward()
    for ours, expected in zip(gradients(model), gradients(other), strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_radius_for_each_channel():
    x, y = batch()
    adversary = NFGSM(relu_net(), Ball((0.01, 0.04), (0.01, 0.04)), noise=1.0)
    adversary.accumulate(x, y)
    reached = adversary.eta.abs().amax(dim=(0, 2, 3))
    assert reached[0] <= 0.02 + 1e-6
    assert 0.05 < reached[1] <= 0.08 + 1e-6


@pytest.mark.parametrize("noise", [-1.0, float("nan"), float("inf")])
def test_noise_out_of_range(noise):
    with pytest.raises(ValueError, match="noise: got"):
        NFGSM(relu_net(), BALL, noise=noise)


def test_batch_norm_in_eval_mode_while_crafting():
    model = relu_net()
    with counted(model) as passes:
        FGSM(model, BALL, bn_mode="eval").accumulate(*batch())
    assert passes.training == [True, True]  # the last layer is no batch norm
    assert model[2].num_batches_tracked == 1
    assert model[2].training


def test_n_fgsm_is_defined_for_linf():
    l2 = Ball(EPS, EPS, norm="l2")
    with pytest.raises(ValueError, match="norm: got 'l2', expected 'linf'"):
        NFGSM(relu_net(), l2)
    with pytest.raises(ValueError, match="norm: got 'l2', expected 'linf'"):
        METHODS["n-fgsm"].check(None, l2)
    adversary = NFGSM(relu_net(), BALL)
    adversary.ball = l2
    with pytest.raises(ValueError, match="norm: got 'l2'"):
        adversary.accumulate(*batch())
