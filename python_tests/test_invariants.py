# SPDX-License-Identifier: MIT
"""Laws that hold exactly, for random shapes, values and options."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, make_problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import yopo_ext

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
