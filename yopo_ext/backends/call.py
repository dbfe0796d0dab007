# SPDX-License-Identifier: MIT
"""One call of an operator, read and checked: what a backend is asked whether it can run, and then to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ..activation import Activation
from ..arguments import ChannelValues
from ..projection import per_channel


class Layer(NamedTuple):
    """The first layer f0(u) = act(conv(norm(u); W) + b)."""

    weight: Tensor
    bias: Tensor | None
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    activation: Activation
    normalization: ChannelValues

    def out_size(self, height: int, width: int) -> tuple[int, int]:
        """(H', W') for an input of (H, W); not positive where the kernel does not fit."""
        sizes = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                (height, width), self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True
            )
        )
        rows, columns = sizes
        return rows, columns

    def normalization_tensors(self, like: Tensor) -> tuple[Tensor, Tensor] | None:
        """mean and std, (1, C, 1, 1), of the dtype and on the device of `like`."""
        if not self.normalization.given:
            return None
        mean, std = rows(self.normalization, like)
        return mean, std


class InnerAscentCall(NamedTuple):
    x: Tensor
    eta: Tensor
    p: Tensor
    layer: Layer
    budget: ChannelValues
    steps: int
    norm: str
    direction: str
    precision: str | None

    @property
    def images(self) -> Tensor:
        return self.x


class HamiltonianCall(NamedTuple):
    u: Tensor
    p: Tensor
    layer: Layer
    precision: str | None

    @property
    def images(self) -> Tensor:
        return self.u


Call = InnerAscentCall | HamiltonianCall


# x, eta, p, weight, bias, normalisation, budget -> the new eta: a backend's `inner_ascent` of calls that are alike in
# all else (shapes, strides, dtypes, device, options).
Ascent = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, ChannelValues, ChannelValues], Tensor]
# u, p, weight, bias, normalisation -> ∂H/∂(weight, bias, u): `hamiltonian_gradients` likewise.
Gradients = Callable[
    [Tensor, Tensor, Tensor, Tensor | None, ChannelValues], tuple[Tensor | None, Tensor | None, Tensor | None]
]


def of_ascent(
    call: InnerAscentCall,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, ChannelValues, ChannelValues]:
    """What an `Ascent` takes."""
    layer = call.layer
    return call.x, call.eta, call.p, layer.weight, layer.bias, layer.normalization, call.budget


def of_gradients(call: HamiltonianCall) -> tuple[Tensor, Tensor, Tensor, Tensor | None, ChannelValues]:
    """What a `Gradients` takes."""
    layer = call.layer
    return call.u, call.p, layer.weight, layer.bias, layer.normalization


def rows(values: ChannelValues, like: Tensor) -> tuple[Tensor, ...]:
    """The rows of per-channel values, each (1, C, 1, 1), rounded to float32, of the dtype and device of `like`."""
    channels = like.shape[1]
    if values.table is not None:
        return tuple(values.table.to(like.dtype).reshape(-1, 1, channels, 1, 1).unbind(0))
    starts = range(0, len(values.floats), channels)
    return tuple(_row(values.floats[start : start + channels], like) for start in starts)


def _row(floats: list[float], like: Tensor) -> Tensor:
    """A single value is filled in on the device: a copy from the host would wait for it."""
    return per_channel(floats[0] if len(set(floats)) == 1 else floats, like)
