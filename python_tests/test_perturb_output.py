# SPDX-License-Identifier: MIT
"""Perturbations added to what a hidden module returns."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball, capture_costate, perturb_output

X = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(4) % 3


def net(inplace=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_the_loss_is_that_of_the_sum_and_the_gradient_the_costate(at, inplace):
    model = net(inplace)
    with torch.no_grad():
        eta = 0.1 * torch.randn_like(model[: at + 1](X))
    expected = eta.clone().requires_grad_()
    loss = cross_entropy(model[at + 1 :](model[: at + 1](X) + expected), Y)
    loss.backward()
    weights = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    eta.requires_grad_()
    with perturb_output(model[at], eta), capture_costate(model[at]) as costate:
        found = cross_entropy(model(X), Y)
        found.backward()
    torch.testing.assert_close(found, loss)
    torch.testing.assert_close(eta.grad, expected.grad)
    torch.testing.assert_close(costate.value, expected.grad)
    for parameter, gradient in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert not model[at]._forward_hooks


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_ascent_in_a_hidden_layer_raises_the_loss_and_stays_feasible(norm):
    model = net()
    ball = Ball(0.3, 0.1, None, norm)
    hidden = model[:2](X).detach()
    feasible, eta = ball.feasible_set(hidden), torch.zeros_like(hidden)
    losses = []
    for _ in range(5):
        with perturb_output(model[1], eta), capture_costate(model[1]) as costate:
            loss = cross_entropy(model(X), Y)
            loss.backward()
        losses.append(loss.item())
        eta = feasible.step(eta, costate.value, ball.step_size(eta))
    assert losses == sorted(losses)
    assert losses[-1] > losses[0]
    size = eta.abs().max() if norm == "linf" else eta.flatten(1).norm(dim=1).max()
    assert size <= 0.3 * (1 + 1e-6)


def test_under_autocast_the_output_keeps_its_dtype():
    model, seen = net(), []
    model[3].register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    eta = torch.zeros(4, 4, 2, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), perturb_output(model[2], eta):
        loss = cross_entropy(model(X), Y)
    loss.backward()
    assert seen == [torch.bfloat16]
    assert eta.grad.dtype == torch.float32
    assert eta.grad.any()


def test_inside_inference_mode():
    model = net()
    eta = torch.zeros(4, 4, 2, 2, requires_grad=True)
    with torch.inference_mode():
        with perturb_output(model[2], eta):
            cross_entropy(model(X), Y).backward()
        with perturb_output(model[2], torch.ones(4, 4, 2, 2)):
            outputs = model(X)
    assert eta.grad.any()
    assert outputs.is_inference()


def test_one_call():
    model = net()
    eta = torch.zeros(4, 4, 2, 2)
    with pytest.raises(RuntimeError, match=r"the module \(Conv2d\) was called again"), perturb_output(model[2], eta):
        model(X), model(X)
    with pytest.raises(RuntimeError, match=r"the module \(Conv2d\) was never called"), perturb_output(model[2], eta):
        model[:2](X)
    assert not model[2]._forward_hooks


def test_wrong_perturbations():
    model = net()
    for shape in ((4, 4, 2), (1, 4, 2, 2), (4, 4, 2, 1)):
        wrong = perturb_output(model[2], torch.zeros(shape))
        with pytest.raises(ValueError, match=r"eta: got shape .*expected \(4, 4, 2, 2\)"), wrong:
            model(X)
    for eta, given in ((torch.zeros(4, dtype=torch.int64), "torch.int64"), (0.1, "float")):
        with pytest.raises(TypeError, match=f"eta: got {given}, expected"), perturb_output(model[2], eta):
            model(X)
    assert not model[2]._forward_hooks


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_an_output_that_is_no_tensor():
    pair = Pair()
    with pytest.raises(RuntimeError, match=r"the module \(Pair\) returned a tuple"), perturb_output(pair, X):
        pair(X)
