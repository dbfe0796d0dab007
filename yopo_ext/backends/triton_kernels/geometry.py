# SPDX-License-Identifier: MIT
"""From the tensors of a call to what the kernels take; and which calls they have no tiles for."""

from __future__ import annotations

from math import ceil, gcd

from torch import Tensor

from ...arguments import ChannelValues
from ..call import Layer
from .arguments import ChannelTable, Costate, Geometry, Images, Weights
from .configurations import Configuration

MOST_CHANNELS = 8
MOST_COLUMNS = 128
MOST_PIXELS = 512  # of a chunk


def power_of_two(number: int, least: int = 1) -> int:
    return max(least, 1 << (number - 1).bit_length())


def refusal(images: Tensor, layer: Layer) -> str | None:
    """Why the kernels have no tiles for a layer on such images, or None."""
    _, channels, _, width = images.shape
    out_channels, _, kernel_h, kernel_w = layer.weight.shape
    if channels > MOST_CHANNELS:
        return f"it takes 1 to {MOST_CHANNELS} input channels, the images have {channels}"
    if out_channels == 0:
        return "the layer has no output channels"
    if channels * kernel_h * kernel_w > MOST_COLUMNS:
        return f"a window of {channels} × {kernel_h} × {kernel_w} entries is more than its tiles hold ({MOST_COLUMNS})"
    out_height, out_width = layer.out_size(*images.shape[2:])
    rows = _least_chunk_rows(images, layer, out_height)
    if rows * max(out_width, layer.stride[0] * width) > MOST_PIXELS:
        return f"{rows} rows of {width} pixels are more than its tiles hold ({MOST_PIXELS})"
    return None


def _lead(layer: Layer) -> int:
    return ceil((layer.weight.shape[2] - 1) * layer.dilation[0] / layer.stride[0])


def _all_rows(images: Tensor, layer: Layer, out_height: int) -> int:
    return max(out_height, ceil((images.shape[2] + layer.padding[0]) / layer.stride[0]))


def _least_chunk_rows(images: Tensor, layer: Layer, out_height: int) -> int:
    """What a chunk hands on, and what lies below the last row of p, must fit the slots of one chunk."""
    return max(1, _lead(layer), _all_rows(images, layer, out_height) - out_height)


def geometry(images: Tensor, p: Tensor, layer: Layer, tiles: Configuration) -> Geometry:
    """The shapes of a call that `refusal` lets through, cut up as `tiles` says."""
    _, channels, height, width = images.shape
    _, out_channels, out_height, out_width = p.shape
    kernel_h, kernel_w = layer.weight.shape[2:]
    least = _least_chunk_rows(images, layer, out_height)
    chunk_rows = max(least, min(tiles.pixels // max(out_width, layer.stride[0] * width), out_height))
    row_step = _row_step(p, chunk_rows, least)
    chunk_rows -= chunk_rows % row_step
    pixels = power_of_two(chunk_rows * out_width, 16)
    slots = power_of_two(chunk_rows * layer.stride[0] * width, 16)
    columns = power_of_two(channels * kernel_h * kernel_w, 16)
    # The tiles are for windows of up to 32 entries; larger ones and wider chunks leave fewer registers for channels.
    room = tiles.k_block * tiles.pixels // pixels * 32 // max(columns, 32)
    k_block = min(tiles.k_block, power_of_two(out_channels, 16), max(16, room))
    return Geometry(
        channels, height, width, out_channels, out_height, out_width, kernel_h, kernel_w,
        *layer.stride, *layer.padding, *layer.dilation,
        lead=_lead(layer),
        all_rows=_all_rows(images, layer, out_height),
        chunk_rows=chunk_rows,
        row_step=row_step,
        pixels=pixels,
        slots=slots,
        columns=columns,
        channels_padded=power_of_two(channels),
        k_block=k_block,
        k_blocks=ceil(out_channels / k_block),
        p_channel_stride=p.stride(1),
        p_pixel_stride=_pixel_stride(p),
    )  # fmt: skip


def _row_step(p: Tensor, chunk_rows: int, least: int) -> int:
    """So many rows of an NCHW p are a multiple of 16 bytes; 1 where that is more than a chunk, or of no use."""
    wide = 16 // p.element_size()
    step = wide // gcd(wide, p.shape[3])
    return step if _pixel_stride(p) == 1 and p.stride(1) % wide == 0 and chunk_rows - chunk_rows % step >= least else 1


def cut_into_bands(geometry: Geometry, batch: int, programs: int) -> tuple[int, int]:
    """(bands per image, rows of p per band), about `programs` bands in all, none so short that its lead weighs much."""
    most = max(1, geometry.all_rows // (2 * max(geometry.chunk_rows, geometry.lead)))
    wanted = min(ceil(programs / max(batch, 1)), most)
    rows = ceil(geometry.all_rows / wanted)
    return ceil(geometry.all_rows / rows), rows


def _pixel_stride(t: Tensor) -> int:
    return t.stride(3) if t.shape[3] > 1 else t.stride(2)


def rows_follow(t: Tensor) -> bool:
    """Whether all pixels of a plane lie at one stride, as in NCHW and channels-last."""
    return t.shape[2] == 1 or t.shape[3] == 1 or t.stride(2) == t.shape[3] * t.stride(3)


def readable(t: Tensor) -> Tensor:
    """The tensor, or a copy if its rows do not follow each other."""
    return t if rows_follow(t) else t.contiguous()


def images_of(t: Tensor) -> Images:
    return Images(t, t.stride(0), t.stride(1), _pixel_stride(t))


def costate_of(p: Tensor) -> Costate:
    return Costate(p, p.stride(0))


def weights_of(layer: Layer) -> Weights:
    bias = None if layer.bias is None else layer.bias.detach().contiguous()
    a, b, c = (*layer.activation.parameters, 0.0, 0.0, 0.0)[:3]
    return Weights(layer.weight.detach().contiguous(), bias, (float(a), float(b), float(c)))


def table_of(values: ChannelValues) -> ChannelTable:
    """The values; those that are numbers travel with the launch, so that nothing is copied to the device."""
    if values.table is not None:
        return ChannelTable(values.table.contiguous(), ())
    return ChannelTable(None, tuple(values.floats))


def warps(geometry: Geometry, tiles: Configuration) -> int:
    """More of them for the chunks of wide images, whose rows force more pixels on a program than the tiles ask for."""
    return max(tiles.warps, min(16, geometry.pixels // 32))
