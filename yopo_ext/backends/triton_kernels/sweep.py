# SPDX-License-Identifier: MIT
"""How one program walks down its part of an image, chunk by chunk.

The image is cut into bands of whole rows, one program each. A band starts `lead` rows of p early, because its first
slots need them; those are the only rows of p read twice. With one band per image p is read exactly once.
"""

import triton
import triton.language as tl


@triton.jit
def band(bands, band_rows, G: tl.constexpr):
    """(sample, first row of p, end of the rows of p, first and end row of the input) of this program."""
    program = tl.program_id(0)
    sample = (program // bands).to(tl.int64)
    begin = (program % bands) * band_rows
    end = tl.minimum(begin + band_rows, G.all_rows)
    first_y = tl.maximum(begin * G.stride_h - G.padding_h, 0)
    end_y = tl.minimum(end * G.stride_h - G.padding_h, G.height)
    # Begun on a multiple of row_step, every chunk's p is aligned alike, and its loads are wide.
    row = tl.maximum(begin - G.lead, 0) // G.row_step * G.row_step
    if bands == 1:
        row = 0
    return sample, row, tl.minimum(end, G.out_height), first_y, end_y


@triton.jit
def after_chunks(row, end_row, G: tl.constexpr):
    """The row after the last chunk."""
    return row + (tl.maximum(end_row - row, 0) + G.chunk_rows - 1) // G.chunk_rows * G.chunk_rows


@triton.jit
def slots(row, first_y, end_y, G: tl.constexpr):
    """(pixel number, mask) of the input pixels completed by the chunk at `row`; the mask is (channels, slots)."""
    slot = tl.arange(0, G.slots)
    above = row * G.stride_h - G.padding_h
    y = above + slot // G.width
    inside = (slot < G.chunk_rows * G.stride_h * G.width) & (y >= first_y) & (y < end_y)
    channel = tl.arange(0, G.channels_padded) < G.channels
    return above * G.width + slot, channel[:, None] & inside[None, :]


@triton.jit
def start_of(images, sample):
    """Pointer to a sample."""
    return images.data + sample * images.sample


@triton.jit
def addresses(start, images, pixel, G: tl.constexpr):
    """(channels, slots) pointers into the sample that begins at `start`."""
    c = tl.arange(0, G.channels_padded)
    return start + c[:, None] * images.channel + pixel[None, :] * images.pixel
