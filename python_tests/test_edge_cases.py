# SPDX-License-Identifier: MIT
"""Empty batches, zero steps, odd strides, numbers that are not finite: correct on every backend."""

from __future__ import annotations

import math

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext import reference
from yopo_ext.ops import hamiltonian_gradients

SHAPE = Shape(3, 3, 9, 10, 8)


def ascend(problem, backend, **options):
    return yopo_ext.inner_ascent(*problem.tensors, **{**problem.adversary, **options}, **problem.layer, backend=backend)


def test_empty_batch(backend):
    problem = make_problem(Shape(0, 3, 9, 10, 8))
    assert ascend(problem, backend, steps=3).shape == (0, 3, 9, 10)
    grads = hamiltonian_gradients(
        problem.x, problem.p, problem.weight, problem.bias, **problem.layer, backend=backend, need_input=True
    )
    assert grads[0].shape == problem.weight.shape
    assert not grads[0].any()
    assert not grads[1].any()
    assert yopo_ext.hamiltonian(problem.x, problem.p, problem.weight, **problem.layer, backend=backend) == 0


def test_zero_steps_only_projects(backend):
    problem = make_problem(SHAPE)
    problem.eta = problem.eta * 100
    eta = ascend(problem, backend, steps=0)
    eps = torch.tensor(8 / 255)
    expected = torch.minimum(torch.maximum(problem.eta, torch.maximum(-eps, 0 - problem.x)),
                             torch.minimum(eps, 1 - problem.x))  # fmt: skip
    assert torch.equal(eta, expected)


def test_zero_eps_gives_zero(backend):
    for norm in ("linf", "l2"):
        assert not ascend(make_problem(SHAPE), backend, eps=0.0, steps=2, norm=norm).any()


def test_zero_co_state_moves_nothing(backend):
    problem = make_problem(SHAPE)
    problem.p = torch.zeros_like(problem.p)
    assert torch.equal(ascend(problem, backend, steps=3), ascend(problem, backend, steps=0))


def test_strided_and_expanded_arguments(backend):
    problem = make_problem(SHAPE)
    expected = ascend(problem, backend, steps=2)
    problem.x = problem.x.to(memory_format=torch.channels_last)
    problem.eta = problem.eta.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    problem.p = torch.stack([problem.p, problem.p], dim=-1)[..., 0]
    problem.weight = problem.weight.transpose(2, 3).contiguous().transpose(2, 3)
    problem.bias = torch.stack([problem.bias, problem.bias], dim=1)[:, 0]
    eta = ascend(problem, backend, steps=2)
    assert torch.equal(eta, expected)
    assert eta.stride() == torch.empty_like(problem.eta).stride()

    one = torch.full((1, 1, 1, 1), 0.01).expand_as(problem.p)
    same = ascend(problem.__class__(**{**vars(problem), "p": one}), backend, steps=2)
    assert torch.equal(same, ascend(problem.__class__(**{**vars(problem), "p": one.clone()}), backend, steps=2))


@pytest.mark.parametrize("p_dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("first", "count"), [(0, 16), (8, 13), (3, 16)])
def test_some_channels_of_a_channels_last_co_state(backend, p_dtype, first, count):
    """Aligned and full, aligned with a rest, and not aligned: kernels may read several channels at once."""
    problem = make_problem(Shape(2, 3, 9, 10, count), activation="silu")
    generator = torch.Generator().manual_seed(1)
    channels = torch.randn(2, 32, 9, 10, generator=generator).to(p_dtype).to(memory_format=torch.channels_last)
    p = channels[:, first : first + count]
    tensors = (problem.weight, problem.bias)
    options = {**problem.layer, "backend": backend, "need_input": True}
    actual = hamiltonian_gradients(problem.u, p, *tensors, **options)
    expected = hamiltonian_gradients(problem.u, p.contiguous(), *tensors, **options)
    for ours, exact in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-5)


def test_inputs_are_not_modified(backend):
    problem = make_problem(SHAPE)
    before = [t.clone() for t in problem.tensors]
    ascend(problem, backend, steps=3)
    hamiltonian_gradients(problem.u, *problem.tensors[2:], **problem.layer, backend=backend, need_input=True)
    assert all(map(torch.equal, problem.tensors, before))


def test_negative_alpha_descends(backend):
    problem = make_problem(SHAPE, activation="identity")
    problem.eta = torch.zeros_like(problem.eta)
    up = ascend(problem, backend, steps=1, bounds=None)
    assert torch.equal(ascend(problem, backend, steps=1, bounds=None, alpha=-2 / 255), -up)


def test_an_image_outside_the_bounds_ends_at_the_upper_end(backend):
    problem = make_problem(SHAPE)
    problem.x[0, 0] = 3.0
    eta = ascend(problem, backend, steps=2)
    assert (eta[0, 0] == -2.0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("direction", ["sign", "gradient"])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["x", "eta", "p", "weight", "bias"])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_numbers_that_are_not_finite_do_not_spread(backend, where, value, activation, direction, norm, bounds):
    problem = make_problem(Shape(2, 3, 9, 10, 8), activation=activation)
    getattr(problem, where).view(-1)[17 % getattr(problem, where).numel()] = value
    eta = ascend(problem, backend, steps=2, norm=norm, direction=direction, bounds=bounds)
    may_be_nan = problem.eta.isnan() | (problem.x.isnan() if bounds else False)
    assert torch.equal(eta.isnan(), may_be_nan)
    inside = torch.isfinite(problem.x) & ~may_be_nan
    assert (eta[inside].abs() <= torch.tensor(problem.adversary["eps"]) * (1 + 1e-6)).all()


def test_bfloat16_and_float16_widen_exactly(backend):
    """Every finite half, subnormals too, through a 1 × 1 layer whose gradient is p itself."""
    for dtype in (torch.bfloat16, torch.float16):
        halves = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
        halves = torch.where(halves.isfinite(), halves, 0).reshape(1, 1, 256, 256)
        x, weight = torch.zeros(1, 1, 256, 256), torch.ones(1, 1, 1, 1)
        g = hamiltonian_gradients(x, halves, weight, backend=backend, need_input=True)[2]
        assert torch.equal(g, halves.float())


def test_one_pixel_images(backend):
    problem = make_problem(Shape(2, 3, 1, 1, 4, kernel=(1, 1), padding=(0, 0)))
    expected = reference.inner_ascent(*problem.double(), **problem.adversary, steps=3, **problem.layer)
    torch.testing.assert_close(ascend(problem, backend, steps=3).double(), expected, rtol=0, atol=1e-6)
