# SPDX-License-Identifier: MIT
"""What the tests of the tensor-core kernels share: which kernels run, and whether their g is within its bound."""

from __future__ import annotations

import cuda_on_host
import torch
from differential import gradient_error_bound, reference_gradient

import yopo_ext
from yopo_ext import reading
from yopo_ext.backends import cuda_backend, native_arguments


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
