# SPDX-License-Identifier: MIT
"""Every backend against the reference in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from differential import SHAPES, Shape, gradient_error_bound, make_problem, needs_tiles, reference_gradient
from torch import nn

import yopo_ext
from yopo_ext import reference
from yopo_ext.activation import NAMES
from yopo_ext.ops import hamiltonian_gradients

ACTIVATIONS = [*NAMES, nn.LeakyReLU(0.2), nn.ELU(0.5), nn.CELU(1.5), nn.GELU("tanh"), nn.Softplus(2.0, 18.0)]
LAYOUTS = list(itertools.product((torch.float32, torch.bfloat16, torch.float16), (False, True)))


def assert_step_agrees(problem, backend: str, *, norm: str = "linf", bounds=(0.0, 1.0)) -> None:
    """One step from the same state: exact where the sign of g is certain, few flips where it is not."""
    needs_tiles(problem, backend)
    options = {**problem.adversary, "steps": 1, "bounds": bounds, "norm": norm}
    eta = yopo_ext.inner_ascent(*problem.tensors, **options, **problem.layer, backend=backend)
    start = reference.inner_ascent(*problem.double(), **{**options, "steps": 0}, **problem.layer)
    problem.eta = start.to(problem.eta)
    expected = reference.inner_ascent(*problem.double(), **options, **problem.layer)
    g, bound = reference_gradient(problem), gradient_error_bound(problem)
    certain = (g.abs() > bound) | (bound == 0)  # no output reads a pixel whose bound is 0
    torch.testing.assert_close(eta[certain].double(), expected[certain], rtol=1e-6, atol=3e-7)
    assert (~certain).float().mean() < 0.05, "the error band must not swallow the test"
    uncertain_moves = (eta[~certain].double() - start[~certain]).abs()
    assert (uncertain_moves <= abs(torch.as_tensor(problem.adversary["alpha"]).max()) + 1e-6).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
def test_one_step_on_every_shape(backend, shape, activation):
    assert_step_agrees(make_problem(shape, activation=activation), backend)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_one_step_with_every_activation(backend, activation):
    assert_step_agrees(make_problem(SHAPES[0], activation=activation, normalize=True), backend)


@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
@pytest.mark.parametrize("activation", ["identity", "relu", "silu"])
def test_one_step_with_every_layout_of_p(backend, p_dtype, channels_last, activation):
    problem = make_problem(Shape(2, 3, 10, 11, 13), activation=activation, p_dtype=p_dtype, channels_last=channels_last)
    assert_step_agrees(problem, backend)


@pytest.mark.parametrize("form", [list, torch.tensor])
def test_per_channel_eps_alpha_and_bounds(backend, form):
    problem = make_problem(SHAPES[0], normalize=True, bias=False)
    problem.adversary = {"eps": form([0.02, 0.05, 0.1]), "alpha": form([0.01, -0.03, 0.04])}
    assert_step_agrees(problem, backend, bounds=(form([0.0, 0.1, 0.2]), form([1.0, 0.9, 0.95])))


def test_no_bounds(backend):
    assert_step_agrees(make_problem(SHAPES[0]), backend, bounds=None)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("activation", ["identity", "silu"])
@pytest.mark.parametrize(("norm", "direction"), [("linf", "gradient"), ("l2", "sign"), ("l2", "gradient")])
def test_smooth_runs_agree_to_rounding(backend, steps, activation, direction, norm):
    """Without a sign there is nothing to flip: whole runs agree."""
    problem = make_problem(SHAPES[0], activation=activation, normalize=True, eps=0.5, alpha=0.05)
    options = {**problem.adversary, "steps": steps, "norm": norm, "direction": direction, **problem.layer}
    eta = yopo_ext.inner_ascent(*problem.tensors, **options, backend=backend)
    expected = reference.inner_ascent(*problem.double(), **options)
    torch.testing.assert_close(eta.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["identity", "relu", "softplus"])
def test_runs_without_uncertain_signs(backend, activation):
    """Integer-valued problems: every g is exact in float32, so whole runs must agree bit for bit."""
    generator = torch.Generator().manual_seed(1)
    integers = lambda *size: torch.randint(-3, 4, size, generator=generator).float()  # noqa: E731
    weight, bias = integers(8, 3, 3, 3), torch.full((8,), 200.5)  # far from the kink, so act' is exactly 1
    x = torch.randint(0, 9, (2, 3, 9, 9), generator=generator).float() / 8
    eta = torch.zeros_like(x)
    p = 2 * integers(2, 8, 9, 9) + 1
    options = {"eps": 0.25, "alpha": 0.0625, "steps": 6, "padding": 1, "activation": activation}
    actual = yopo_ext.inner_ascent(x, eta, p, weight, bias, **options, backend=backend)
    expected = reference.inner_ascent(*(t.double() for t in (x, eta, p, weight, bias)), **options)
    assert torch.equal(actual.double(), expected)
    assert actual.abs().max() == 0.25


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ["identity", "relu", "elu"])
def test_hamiltonian_and_its_gradients_on_every_shape(backend, shape, activation):
    assert_hamiltonian_agrees(make_problem(shape, activation=activation, normalize=True), backend)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_hamiltonian_with_every_activation(backend, activation):
    assert_hamiltonian_agrees(make_problem(SHAPES[0], activation=activation), backend)


@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
def test_hamiltonian_with_every_layout_of_p(backend, p_dtype, channels_last):
    problem = make_problem(SHAPES[0], p_dtype=p_dtype, channels_last=channels_last, bias=False)
    assert_hamiltonian_agrees(problem, backend)


def assert_hamiltonian_agrees(problem, backend: str) -> None:
    needs_tiles(problem, backend)
    x, eta, p, weight, *bias = problem.double()
    leaves = [(x + eta).requires_grad_(), weight.requires_grad_(), *(b.requires_grad_() for b in bias)]
    value = reference.hamiltonian(leaves[0], p, *leaves[1:], **problem.layer)
    expected = torch.autograd.grad(value, leaves)

    ours = [t.clone().requires_grad_() for t in (problem.u, problem.weight, problem.bias) if t is not None]
    actual = yopo_ext.hamiltonian(ours[0], problem.p, *ours[1:], **problem.layer, backend=backend)
    scale = (problem.p.double().abs().sum() * problem.weight.abs().mean()).item()
    assert abs(actual.item() - value.item()) <= 1e-5 * scale
    actual.backward()
    flips_allowed = gradient_error_bound(problem).max().item() if problem.layer["activation"] == "relu" else 0.0
    for tensor, exact in zip(ours, expected, strict=True):
        torch.testing.assert_close(
            tensor.grad.double(), exact, rtol=1e-4, atol=1e-5 * exact.abs().max().item() + flips_allowed
        )

    grads = hamiltonian_gradients(problem.u, *problem.tensors[2:], **problem.layer, backend=backend, need_input=True)
    for tensor, grad in zip((ours[1], *ours[2:], ours[0]), (g for g in grads if g is not None), strict=True):
        assert torch.equal(tensor.grad, grad)


def test_a_patch_embedding(backend):
    """One tap to a pixel. Linear: one unit at a kink would leave a whole patch uncertain."""
    shape = Shape(1, 3, 70, 36, 9, kernel=(16, 16), stride=(16, 16), padding=(0, 0))
    assert_step_agrees(make_problem(shape, activation="identity"), backend)


def test_images_of_many_bands(backend):
    """An image too large for one band: the CPU kernels cut it, and bands of unequal height must join."""
    assert_step_agrees(make_problem(Shape(1, 3, 131, 240, 9, kernel=(5, 5), padding=(2, 2))), backend)
    assert_hamiltonian_agrees(make_problem(Shape(1, 3, 131, 240, 9, padding=(0, 1))), backend)
