# SPDX-License-Identifier: MIT
"""Laws that hold exactly, for random shapes, values and options."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, make_problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import yopo_ext
from yopo_ext.projection import feasible_set

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def problems(draw):
    size = st.integers(1, 12)
    shape = Shape(
        draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(size), draw(size), draw(st.integers(1, 9)),
        kernel=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(2, 3)), draw(st.integers(2, 3))),
    )  # fmt: skip
    return make_problem(
        shape,
        activation=draw(st.sampled_from(["identity", "relu", "selu", "tanh"])),
        p_dtype=draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16])),
        channels_last=draw(st.booleans()),
        normalize=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
        eps=draw(st.floats(0, 2, width=32)),
        alpha=draw(st.floats(-0.5, 0.5)),
    )


def ascend(problem, backend, steps, **options):
    options = {**problem.adversary, **problem.layer, **options}
    return yopo_ext.inner_ascent(*problem.tensors, steps=steps, **options, backend=backend)


@QUICK
@given(problem=problems(), steps=st.integers(0, 3), direction=st.sampled_from(["sign", "gradient"]))
def test_the_result_is_feasible_exactly(backend, problem, steps, direction):
    problem.eta = problem.eta * 40
    eta = ascend(problem, backend, steps, direction=direction)
    assert (eta.abs() <= torch.tensor(problem.adversary["eps"])).all()
    # Within one ulp of (high - low), and exactly inside (0, 1) only up to the rounding of x + eta.
    assert ((problem.x + eta >= -1e-7) & (problem.x + eta <= 1 + 1.2e-7)).all()


@QUICK
@given(problem=problems(), steps=st.integers(1, 4))
def test_n_steps_are_n_times_one_step(backend, problem, steps):
    at_once = ascend(problem, backend, steps)
    for _ in range(steps):
        problem.eta = ascend(problem, backend, 1)
    assert torch.equal(problem.eta, at_once)


@QUICK
@given(problem=problems(), seed=st.integers(0, 100))
def test_images_do_not_know_each_other(backend, problem, seed):
    if backend == "torch":
        pytest.skip("torch's convolutions may choose another algorithm for another batch")
    eta = ascend(problem, backend, 2)
    order = torch.randperm(len(eta), generator=torch.Generator().manual_seed(seed))
    problem.x, problem.eta, problem.p = problem.x[order], problem.eta[order], problem.p[order]
    assert torch.equal(ascend(problem, backend, 2), eta[order])


@QUICK
@given(problem=problems())
def test_l2_is_feasible(backend, problem):
    problem.eta = problem.eta * 40
    eta = ascend(problem, backend, 2, norm="l2")
    assert (eta.flatten(1).norm(dim=1) <= problem.adversary["eps"] * (1 + 1e-6)).all()


def test_the_same_call_gives_the_same_bits(backend, two_threads):
    problem = make_problem(Shape(9, 3, 20, 20, 16))
    first = ascend(problem, backend, 5)
    assert all(torch.equal(ascend(problem, backend, 5), first) for _ in range(3))


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_an_l2_step_has_its_length_whatever_the_size_of_the_gradient(backend, activation):
    """Confident networks have gradients of 1e-14, and one mini-batch has several sizes."""
    sizes = torch.tensor([1.0, 1e-8, 1e-13, 1e-16, 1e-20, 1e-30, 1e-37, 1e20, 1e36, 0.0]).reshape(-1, 1, 1, 1)
    problem = make_problem(Shape(len(sizes), 3, 9, 9, 4), activation=activation, eps=0.5, alpha=0.1)
    problem.x[:], problem.eta = problem.x[:1].clone(), torch.zeros_like(problem.x)
    problem.p = problem.p[:1] * sizes
    moved = sizes.flatten() != 0
    eta = ascend(problem, backend, 1, norm="l2", bounds=None)
    assert not eta[~moved].any()
    torch.testing.assert_close(eta[moved].flatten(1).norm(dim=1), torch.full((9,), 0.1), rtol=1e-5, atol=0)
    torch.testing.assert_close(eta[moved], eta[:1].expand(9, -1, -1, -1), rtol=1e-3, atol=1e-4)
    for steps in (2, 4):
        eta = ascend(problem, backend, steps, norm="l2", bounds=None)
        assert not eta[~moved].any()
        torch.testing.assert_close(eta[moved], eta[:1].expand(9, -1, -1, -1), rtol=1e-2, atol=1e-3)


def test_an_l2_step_stands_still_where_the_gradient_is_not_finite(backend):
    problem = make_problem(Shape(3, 3, 9, 9, 4), activation="identity", eps=0.5, alpha=0.1)
    problem.p = problem.p * 1e-15
    problem.p[1, 0, 2, 2] = float("inf")
    before = ascend(problem, backend, 0, norm="l2", bounds=None)
    eta = ascend(problem, backend, 1, norm="l2", bounds=None)
    assert torch.equal(eta[1], before[1])
    assert not torch.equal(eta[0], before[0])


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_an_l2_step_of_doubles(size):
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    g = torch.linspace(-1, 1, 9, dtype=torch.float64).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    g[1] *= size
    delta = feasible_set(x, 1.0, None, "l2").step(x, g, torch.tensor(0.1, dtype=torch.float64))
    torch.testing.assert_close(delta, (0.1 * g[:1] / g[:1].norm()).expand_as(x), rtol=1e-12, atol=0)
