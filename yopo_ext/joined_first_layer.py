# SPDX-License-Identifier: MIT
"""The first layers of several networks on one input as one layer: H adds up, and so does its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .batch_statistics import BatchStatistics
from .layer_modules import ConvolutionLayer, NotAConvolutionLayer, read_layer


class JoinedFirstLayer(nn.Module):
    """Calls each of the layers on the images; returns their outputs side by side, along the channels.

    The operators take it as one convolution, weights and biases concatenated along the output channels, where the
    layers agree in kernel, stride, padding, dilation, activation and normalisation: one kernel call for all. Outputs of
    different height or width are flattened first, and such layers go through autograd.

    Args:
        heads: of each network the modules of its first layer, which it calls one after another.

    Attributes:
        shapes: of the outputs of the last call, each without the batch.
    """

    def __init__(self, heads: Sequence[Sequence[nn.Module]]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.ModuleList(head) for head in heads)
        self.shapes: tuple[torch.Size, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, ΣK, H', W'), or (B, N) of outputs that differ in size."""
        outputs = [_called(head, x) for head in self.heads]
        self.shapes = tuple(output.shape[1:] for output in outputs)
        if len({shape[1:] for shape in self.shapes}) > 1:
            outputs = [output.flatten(1) for output in outputs]
        return torch.cat(outputs, 1)

    def parts(self, joined: Tensor) -> list[Tensor]:
        """Each network's own of what the last call returned; views."""
        widths = [shape[0] if joined.dim() > 2 else shape.numel() for shape in self.shapes]
        starts = [sum(widths[:index]) for index in range(len(widths))]
        # Not by split, whose views refuse operations in place.
        found = [joined.narrow(1, start, width) for start, width in zip(starts, widths, strict=True)]
        return [part.reshape(len(joined), *shape) for part, shape in zip(found, self.shapes, strict=True)]

    def read_as_convolution(self, statistics: BatchStatistics) -> ConvolutionLayer:
        """The layers as one; arguments and errors as `read_layer`, also where they do not agree."""
        heads: Any = self.heads  # torch's types do not say that a ModuleList holds lists
        layers = [read_layer(tuple(head), statistics) for head in heads]
        first = layers[0]
        for layer in layers[1:]:
            if layer.weight.shape[1:] != first.weight.shape[1:] or layer.weight.dtype != first.weight.dtype:
                raise NotAConvolutionLayer("the members' first convolutions differ in size")
            for name in {*layer.options, *first.options}:
                if not _same(layer.options.get(name), first.options.get(name)):
                    raise NotAConvolutionLayer(f"the members' first layers differ in {name}")
        bias = None
        if any(layer.bias is not None for layer in layers):
            bias = torch.cat([_bias(layer) for layer in layers])
        return ConvolutionLayer(torch.cat([layer.weight for layer in layers]), bias, first.options)


def _called(head: Any, x: Tensor) -> Tensor:
    for module in head:
        x = module(x)
    return x


def _bias(layer: ConvolutionLayer) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.flatten().equal(other.flatten())
    return type(one) is type(other) and bool(one == other)
