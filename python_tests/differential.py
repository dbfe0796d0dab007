# SPDX-License-Identifier: MIT
"""Problems for the operators, the reference's answer in float64, and how far a backend may be from it.

After a sign flip trajectories part, so steps are compared one at a time from the same state: where |g| exceeds the
error bound of the backend's arithmetic the result must agree; inside that band flips are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from yopo_ext import reference
from yopo_ext.activation import parse_activation
from yopo_ext.arguments import NOTHING
from yopo_ext.backends.call import Layer
from yopo_ext.backends.triton_kernels import geometry
from yopo_ext.projection import per_channel


@dataclass(frozen=True)
class Shape:
    batch: int
    channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)

    @property
    def out(self) -> tuple[int, int]:
        rows, columns = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                (self.height, self.width), self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return rows, columns

    def __str__(self) -> str:
        return "-".join(str(v).replace(" ", "") for v in vars(self).values())


#: The shapes of real first layers, small, and the corners of the geometry.
SHAPES = (
    Shape(2, 3, 12, 12, 16),
    Shape(3, 1, 12, 14, 32, padding=(0, 0)),
    Shape(2, 3, 9, 13, 7, kernel=(5, 3), padding=(2, 1)),
    Shape(2, 4, 10, 11, 8, kernel=(1, 1), padding=(0, 0)),
    Shape(1, 3, 40, 36, 24, kernel=(7, 7), stride=(2, 2), padding=(3, 3)),
    Shape(2, 3, 32, 32, 16, kernel=(8, 8), stride=(8, 8), padding=(0, 0)),
    Shape(2, 2, 11, 14, 6, stride=(3, 2), padding=(2, 0)),
    Shape(2, 5, 12, 12, 6, padding=(2, 2), dilation=(2, 2)),
    Shape(2, 2, 24, 17, 6, kernel=(4, 5), stride=(4, 3), padding=(2, 3), dilation=(6, 2)),
    Shape(2, 2, 7, 9, 5, kernel=(2, 2), stride=(3, 4), padding=(1, 2)),  # a stride beyond the kernel
    Shape(1, 1, 1, 1, 3),  # the kernel is larger than the image
)


@dataclass
class Problem:
    """Everything an operator takes, seeded; `kwargs` go to both the operator and the reference."""

    x: Tensor
    eta: Tensor
    p: Tensor
    weight: Tensor
    bias: Tensor | None
    layer: dict[str, Any]
    adversary: dict[str, Any] = field(default_factory=lambda: {"eps": 8 / 255, "alpha": 2 / 255})

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.x, self.eta, self.p, self.weight, *(() if self.bias is None else (self.bias,))

    def double(self) -> tuple[Tensor, ...]:
        return tuple(t.double() for t in self.tensors)

    @property
    def u(self) -> Tensor:
        return self.x + self.eta


def make_problem(
    shape: Shape,
    *,
    activation: Any = "relu",
    p_dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    bias: bool = True,
    normalize: bool = False,
    seed: int = 0,
    device: str = "cpu",
    **adversary: Any,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *size: torch.rand(size, generator=generator)  # noqa: E731
    randn = lambda *size: torch.randn(size, generator=generator)  # noqa: E731
    x = rand(shape.batch, shape.channels, shape.height, shape.width)
    eta = (rand(*x.shape) - 0.5) * 0.05
    p = randn(shape.batch, shape.out_channels, *shape.out).to(p_dtype)
    weight = randn(shape.out_channels, shape.channels, *shape.kernel) * 0.3
    layer: dict[str, Any] = {
        "stride": shape.stride,
        "padding": shape.padding,
        "dilation": shape.dilation,
        "activation": activation,
    }
    if normalize:
        layer["mean"] = [0.4 + 0.05 * c for c in range(shape.channels)]
        layer["std"] = [0.2 + 0.05 * c for c in range(shape.channels)]
    if channels_last:
        p = p.to(memory_format=torch.channels_last)
    problem = Problem(x, eta, p, weight, randn(shape.out_channels) * 0.1 if bias else None, layer)
    problem.adversary.update(adversary)
    for name in ("x", "eta", "p", "weight", "bias"):
        tensor = getattr(problem, name)
        setattr(problem, name, None if tensor is None else tensor.to(device))
    return problem


def needs_tiles(problem: Problem, backend: str) -> None:
    """Skips what lies outside the Triton kernels' envelope, which triton_kernels/test_envelope.py pins down."""
    if backend in ("triton", "triton_on_gpu"):
        layer = parse_layer(problem)
        if (reason := geometry.refusal(problem.x, layer)) is not None:
            pytest.skip(reason)


def parse_layer(problem: Problem) -> Layer:
    layer = dict(problem.layer)
    pairs = [list(layer[name]) for name in ("stride", "padding", "dilation")]
    activation = parse_activation(layer["activation"])
    return Layer(problem.weight, problem.bias, *pairs, activation, NOTHING)


def reference_gradient(problem: Problem) -> Tensor:
    """g at u = x + eta, in float64."""
    x, eta, p, weight, *bias = problem.double()
    return reference.input_gradient(x + eta, p, weight, *bias, **problem.layer)


def gradient_error_bound(problem: Problem, mantissa_bits: int = 23) -> Tensor:
    """How far g may be off in float32 accumulation with multiplicands of so many mantissa bits, elementwise."""
    x, eta, p, weight, *bias = problem.double()
    layer = dict(problem.layer)
    activation = parse_activation(layer.pop("activation"))
    mean, std = layer.pop("mean", None), layer.pop("std", None)
    v = x + eta
    if mean is not None:
        v = (v - per_channel(mean, v)) / per_channel(std, v)
    z = F.conv2d(v, weight, *bias, **layer)
    magnitude = F.conv2d(v.abs() + 1, weight.abs(), *(b.abs() for b in bias), **layer)
    unit, rounding = 2.0**-23, 2.0**-mantissa_bits
    terms = weight[0].numel()
    z_error = magnitude * (unit * (terms + 8) + 2 * rounding)
    slope = 1.2 * max([1.0, *(abs(value) for value in activation.parameters)]) ** 2
    slope = 1.2 if activation.kind == "softplus" else slope  # |act''| <= beta / 4; the other one is a threshold
    q = activation.vjp(p, z)
    q_error = p.abs() * (slope * z_error + 4 * unit) + q.abs() * (unit + rounding)
    if activation.derivative_jumps:
        size = max([1.0, *(abs(value) for value in activation.parameters)]) ** 2
        q_error += torch.where(z.abs() <= z_error, p.abs() * size, 0)
    adjoint = lambda t: torch.nn.grad.conv2d_input(v.shape, weight.abs(), t, **layer)  # noqa: E731
    sums = problem.p.shape[1] * weight.shape[2] * weight.shape[3]
    error = adjoint(q_error) + adjoint(q.abs()) * (unit * (sums + 4) + 2 * rounding)
    return error if std is None else error / per_channel(std, error)
