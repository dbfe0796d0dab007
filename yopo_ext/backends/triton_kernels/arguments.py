# SPDX-License-Identifier: MIT
"""What the kernels take, grouped: Triton passes these named tuples through, field by field.

Geometry and Options are compile-time constants (no tuples: older Tritons take constant tuples apart when one
kernel function calls another); the fields of the others are ordinary kernel arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Geometry:
    """The shapes of one call, and how the kernels cut them up.

    A chunk is a run of whole rows of p. Its pixels are numbered row after row, so that they lie in memory as one
    run; so are the input pixels ("slots") whose gradient a chunk completes.
    """

    channels: int
    height: int
    width: int
    out_channels: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    padding_h: int
    padding_w: int
    dilation_h: int
    dilation_w: int
    lead: int  # rows of p before a chunk that its slots still need
    all_rows: int  # rows of p, had it one for every input row: some lie past its end and hold nothing
    chunk_rows: int  # >= lead
    row_step: int  # chunks begin at its multiples
    pixels: int  # of a chunk of p, padded to a power of two
    slots: int  # input pixels that a chunk completes, padded
    columns: int  # channels · kernel_h · kernel_w, padded to a power of two of at least 16
    channels_padded: int
    k_block: int  # output channels per matrix product, a power of two of at least 16
    k_blocks: int
    p_channel_stride: int  # in elements; constants, so that the compiler sees how wide it may load
    p_pixel_stride: int


@dataclass(frozen=True)
class Options:
    activation: str
    direction: str  # "sign" or "gradient"
    box: bool  # whether there are bounds
    normalized: bool  # whether the layer begins with (u - mean) / std
    dot: str  # input_precision of the matrix products: "ieee" or "tf32"


class Images(NamedTuple):
    """(B, C, H, W) whose rows follow each other without a gap; strides in elements."""

    data: Any
    sample: int
    channel: int
    pixel: int


class Costate(NamedTuple):
    """p (B, K, H', W'), float32, bfloat16 or float16; its other strides are in Geometry."""

    data: Any
    sample: int


class Weights(NamedTuple):
    weight: Any  # (K, C, kh, kw) float32, contiguous
    bias: Any  # (K,) float32 or None
    activation: tuple[float, float, float]  # the activation's parameters


class ChannelTable(NamedTuple):
    """Rows of one float32 per channel: in memory, or as numbers that travel with the launch."""

    table: Any  # (rows, C) or None
    floats: tuple[float, ...]
