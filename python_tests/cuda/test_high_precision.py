# SPDX-License-Identifier: MIT
"""The tensor-core kernels: g itself against float64, within the bound of multiplicands of ten mantissa bits.

The fragments follow the documented layout on the host too, so a wrong lane or register shows as a wrong g."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, gradient_error_bound, make_problem, reference_gradient
from high_precision import LAYOUTS, ascend, assert_gradient_agrees, gradient

import yopo_ext
from yopo_ext.activation import NAMES

SHAPES = [
    Shape(2, 3, 12, 12, 16),
    Shape(1, 1, 28, 28, 32, padding=(0, 0)),
    Shape(1, 3, 9, 13, 24),  # planes without alignment
    Shape(1, 2, 10, 10, 96),
    Shape(1, 4, 12, 8, 40),
    Shape(1, 1, 12, 12, 8, kernel=(5, 5), padding=(2, 2)),
    Shape(1, 3, 14, 12, 24, kernel=(5, 5), padding=(1, 2)),
    Shape(1, 3, 16, 15, 16, stride=(2, 2)),
    Shape(1, 2, 13, 12, 16, padding=(2, 2), dilation=(2, 2)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("activation", "path"), [("identity", "linear_mma"), ("relu", "resident"), ("silu", "resident")]
)
def test_gradient_on_every_shape(backend, shape, activation, path):
    problem = make_problem(shape, activation=activation, normalize=True)
    if activation != "identity" and shape == SHAPES[1]:  # a geometry with a kernel of its own
        path = "fixed"
    assert_gradient_agrees(problem, backend, path, smooth=activation != "relu")


@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
@pytest.mark.parametrize("channels", [16, 40, 72])
@pytest.mark.parametrize(("activation", "path"), [("identity", "linear_mma"), ("relu", "resident")])
def test_gradient_with_every_layout_of_p(backend, p_dtype, channels_last, channels, activation, path):
    problem = make_problem(
        Shape(2, 3, 12, 12, channels), activation=activation, p_dtype=p_dtype, channels_last=channels_last
    )
    assert_gradient_agrees(problem, backend, path, smooth=activation != "relu")


@pytest.mark.parametrize("activation", [name for name in NAMES if name not in ("identity", "relu")])
def test_gradient_with_every_activation(backend, activation):
    problem = make_problem(SHAPES[0], activation=activation)
    assert_gradient_agrees(problem, backend, "resident", smooth=activation not in ("leaky_relu", "selu"))


@pytest.mark.parametrize("factor", [1e-20, 1e-7, 1e5, 1e25])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_co_states_of_any_magnitude(backend, factor, activation):
    """p arrives as small as 1e-9 in practice: its scale must neither overflow half precision nor vanish in it."""
    problem = make_problem(SHAPES[0], activation=activation)
    problem.eta = torch.zeros_like(problem.x)
    one = gradient(problem, backend, "high")
    problem.p = problem.p * factor
    scaled = yopo_ext.inner_ascent(
        problem.x, problem.eta, *problem.tensors[2:], eps=1e3, alpha=1 / factor, steps=1, bounds=None,
        direction="gradient", precision="high", backend=backend, **problem.layer,
    ).double()  # fmt: skip
    assert (scaled - one).abs().max() <= 4e-3 * one.abs().max()


@pytest.mark.parametrize("row", [0, 11])
def test_an_outlier_spares_the_other_rows(backend, row):
    problem = make_problem(SHAPES[0])
    problem.p[0, 5, row, 3] = 1e6
    problem.eta = torch.zeros_like(problem.x)
    error = (gradient(problem, backend, "high") - reference_gradient(problem)).abs()
    assert error.isfinite().all()
    assert (error[1] <= gradient_error_bound(problem, 10)[1] + 1e-6).all()


def test_small_weights_keep_their_bits(backend):
    problem = make_problem(SHAPES[0], bias=False, activation="identity")
    relu = make_problem(SHAPES[0], bias=False)
    for small in (problem, relu):
        small.weight = small.weight * 1e-12
        small.eta = torch.zeros_like(small.x)
        exact = reference_gradient(small)
        error = (gradient(small, backend, "high") - exact).abs()
        assert error.square().mean().sqrt() < 2e-2 * exact.square().mean().sqrt()


@pytest.mark.parametrize("channels_last", [False, True])
def test_both_parts_of_a_weight_count_beside_a_bfloat16_costate(backend, channels_last):
    """p is exact there, and two bfloat16 hold sixteen bits of a weight: tf32 would be ten times as far off."""
    problem = make_problem(SHAPES[3], activation="identity", p_dtype=torch.bfloat16, channels_last=channels_last)
    problem.eta = torch.zeros_like(problem.x)
    exact = reference_gradient(problem)
    error = gradient(problem, backend, "high") - exact
    assert error.square().mean().sqrt() < 2e-5 * exact.square().mean().sqrt()


@pytest.mark.parametrize("activation", ["identity", "relu", "silu"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steps_compose_bit_for_bit(backend, activation, norm):
    problem = make_problem(SHAPES[0], activation=activation, normalize=True)
    at_once = ascend(problem, backend, norm=norm)
    for _ in range(3):
        problem.eta = ascend(problem, backend, steps=1, norm=norm)
    if norm == "linf":
        assert torch.equal(problem.eta, at_once)
    else:
        torch.testing.assert_close(at_once, problem.eta, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_one_bad_number_spoils_no_other_element(backend, activation):
    problem = make_problem(SHAPES[0], activation=activation)
    problem.x[0, 1, 4, 4] = torch.nan
    problem.p[1, 3, 2, 2] = torch.inf
    eta = ascend(problem, backend, steps=2)
    assert eta[0, 1, 4, 4].isnan()
    assert eta.isnan().sum() == 1
    assert (eta.nan_to_num().abs() <= torch.tensor(8 / 255)).all()
