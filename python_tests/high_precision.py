# SPDX-License-Identifier: MIT
"""What the tests of the tensor-core kernels share: which kernels run, whether their g is within its bound, and
whether their steps are."""

from __future__ import annotations

from itertools import product

import cuda_on_host
import torch
from differential import gradient_error_bound, reference_gradient

import yopo_ext
from yopo_ext import reading, reference
from yopo_ext.backends import cuda_backend, native_arguments

#: p's type, and whether it is channels-last
LAYOUTS = list(product((torch.float32, torch.bfloat16, torch.float16), (False, True)))


def plan_of(problem, precision: str = "high", norm: str = "linf") -> tuple[int, str]:
    """The workspace's bytes and the kernels that the host library chooses for a problem."""
    layer = {"stride": 1, "padding": 0, "dilation": 1, **problem.layer}
    call = reading.inner_ascent(
        problem.x, problem.eta, problem.p, problem.weight, problem.bias, **layer, eps=0.1, alpha=0.1, steps=1,
        bounds=None, norm=norm, precision=precision,
    )  # fmt: skip
    return cuda_on_host.host_module().inner_ascent_cuda_plan(
        native_arguments.costate(call.p),
        native_arguments.shape(call.x, call.layer),
        native_arguments.activation(call.layer),
        native_arguments.NORMS[call.norm],
        native_arguments.DIRECTIONS[call.direction],
        (0, 0, cuda_backend._PRECISIONS[precision]),
    )


def path_of(problem, precision: str = "high", norm: str = "linf") -> str:
    return plan_of(problem, precision, norm)[1]


def ascend(problem, backend: str, *, steps: int = 3, **options) -> torch.Tensor:
    options = {**problem.adversary, **problem.layer, **options}
    return yopo_ext.inner_ascent(*problem.tensors, **options, steps=steps, precision="high", backend=backend)


def gradient(problem, backend: str, precision: str) -> torch.Tensor:
    """g at x, by one long step along it from 0."""
    return yopo_ext.inner_ascent(
        problem.x, torch.zeros_like(problem.x), *problem.tensors[2:], eps=1e3, alpha=1.0, steps=1, bounds=None,
        direction="gradient", precision=precision, backend=backend, **problem.layer,
    ).double()  # fmt: skip


def assert_gradient_agrees(problem, backend: str, path: str, smooth: bool = True) -> None:
    assert path_of(problem) == path
    problem.eta = torch.zeros_like(problem.x)
    g, exact = gradient(problem, backend, "high"), reference_gradient(problem)
    error = (g - exact).abs()
    assert (error <= gradient_error_bound(problem, 10) + 1e-6).all()
    if smooth:
        assert error.square().mean().sqrt() < 2e-3 * exact.square().mean().sqrt() + 1e-6


def assert_certain_pixels_agree(problem, eta: torch.Tensor, expected: torch.Tensor, share: float) -> None:
    """Exact wherever the sign of g is certain, which it is of more than this share of the pixels: the bound is of the
    worst case, at 10 bits."""
    certain = reference_gradient(problem).abs() > gradient_error_bound(problem, 10)
    assert certain.float().mean() > share
    torch.testing.assert_close(eta[certain].double(), expected[certain], rtol=1e-6, atol=3e-7)


def assert_steps_agree(problem, backend: str, bounds, share: float) -> None:
    """Three steps, with the reference's in float64."""
    options = {**problem.adversary, **problem.layer, "steps": 3, "bounds": bounds}
    expected = reference.inner_ascent(*problem.double(), **options)
    assert_certain_pixels_agree(problem, ascend(problem, backend, steps=3, bounds=bounds), expected, share)


def assert_steps_compose(problem, backend: str, **options) -> None:
    """Five steps are five times one, bit for bit; leaves problem.eta behind them."""
    at_once = ascend(problem, backend, steps=5, **options)
    for _ in range(5):
        problem.eta = ascend(problem, backend, steps=1, **options)
    assert torch.equal(problem.eta, at_once)
