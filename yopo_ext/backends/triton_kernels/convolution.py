# SPDX-License-Identifier: MIT
"""The convolution of a chunk as matrix products, pixels along the last axis.

    A = unfold(u)        (columns, pixels): column (c, dy, dx) holds norm(u)[c] as that tap of the kernel sees it
    z = W · A + b        (k_block, pixels)
    S = Wᵀ · q           (columns, pixels): what each output pixel hands back to each entry of its window
    g = fold(S)          (channels, slots): the sum, at each input pixel, of what was handed to it

All four matrices stay on the chip; p is read as it lies, NCHW or channels-last.
"""

import triton
import triton.language as tl

from .activation import backward
from .interval import layer_input


@triton.jit
def taps(G: tl.constexpr):
    """The channel (past the last: padding) and the place in the kernel of each column."""
    column = tl.arange(0, G.columns)
    return column // (G.kernel_h * G.kernel_w), column // G.kernel_w % G.kernel_h, column % G.kernel_w


@triton.jit
def unfold(start, images, row, normalization, G: tl.constexpr, OPTIONS: tl.constexpr):
    """A for the chunk that starts at row `row` of p: zero where a window leaves the image, after normalisation."""
    c, dy, dx = taps(G)
    index = tl.arange(0, G.pixels)
    out_y = index // G.out_width
    y = (out_y * G.stride_h - G.padding_h)[None, :] + (dy * G.dilation_h)[:, None]
    x = (index % G.out_width * G.stride_w - G.padding_w)[None, :] + (dx * G.dilation_w)[:, None]
    real = (c < G.channels)[:, None] & (index < G.chunk_rows * G.out_width)[None, :]
    # Row and validity of the column in one number per entry: it stays in registers from chunk to chunk.
    offset = c[:, None] * images.channel + (y * G.width + x) * images.pixel
    y = tl.where(real & (x >= 0) & (x < G.width), y, -(1 << 28))
    above = row * G.stride_h
    inside = (y >= -above) & (y < G.height - above) & (row + out_y < G.out_height)[None, :]
    u = tl.load(start + above * G.width * images.pixel + offset, mask=inside, other=0.0)
    if OPTIONS.normalized:
        u = tl.where(inside, layer_input(u, c, normalization, G, OPTIONS), 0.0)
    return u


@triton.jit
def load_weight(weight, k, G: tl.constexpr):
    """(k_block, columns) of W, zero in the padding."""
    entries: tl.constexpr = G.channels * G.kernel_h * G.kernel_w
    column = tl.arange(0, G.columns)
    mask = (k < G.out_channels)[:, None] & (column < entries)[None, :]
    return tl.load(weight + k[:, None] * entries + column[None, :], mask=mask, other=0.0)


@triton.jit
def first_block(layer, G: tl.constexpr):
    """The first k_block rows of W."""
    return load_weight(layer.weight, tl.arange(0, G.k_block), G)


@triton.jit
def load_costate(p, k, row, G: tl.constexpr):
    """(k_block, pixels) of p as float32, zero past its ends."""
    index = tl.arange(0, G.pixels)
    # Both masks are comparisons of one run of numbers with a constant: the compiler keeps the loads wide.
    pixel = row * G.out_width + index
    inside = (index < G.chunk_rows * G.out_width) & (pixel < G.out_height * G.out_width)
    mask = (k < G.out_channels)[:, None] & inside[None, :]
    offset = k[:, None] * G.p_channel_stride + pixel[None, :] * G.p_pixel_stride
    return tl.load(p + offset, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def preactivation(w, a, layer, k, G: tl.constexpr, OPTIONS: tl.constexpr):
    """z (k_block, pixels)."""
    z = tl.dot(w, a, input_precision=OPTIONS.dot)
    if layer.bias is not None:
        z += tl.load(layer.bias + k, mask=k < G.out_channels, other=0.0)[:, None]
    return z


@triton.jit
def hand_back(start, images, p, layer, first_w, normalization, row, G: tl.constexpr, OPTIONS: tl.constexpr):
    """S (columns, pixels) of the chunk at `row` for the sample whose u is at `start`, which a linear layer ignores.

    `first_w` is the first block of W, loaded once by the caller: often it is the only one, and without a loop over
    blocks in here the compiler overlaps the loads of the next chunk with the work on this one.
    """
    s = tl.full((G.columns, G.pixels), 0.0, tl.float32)
    if OPTIONS.activation != "identity":
        a = unfold(start, images, row, normalization, G, OPTIONS)
    for block in range(G.k_blocks):
        k = block * G.k_block + tl.arange(0, G.k_block)
        if G.k_blocks > 1:
            w = load_weight(layer.weight, k, G)
        else:
            w = first_w
        q = load_costate(p, k, row, G)
        if OPTIONS.activation != "identity":
            z = preactivation(w, a, layer, k, G, OPTIONS)
            q = backward(q, z, layer.activation, OPTIONS)
        s = tl.dot(tl.trans(w), q, s, input_precision=OPTIONS.dot)
    return s


@triton.jit
def fold(s, G: tl.constexpr):
    """Sums S along the taps: (own, next), each (channels_padded, slots).

    `own` goes to the slots of this chunk. Its last rows also reach into the slots of the next one: `next`. A slot
    needs, for each tap, a row of p that lies either in this chunk or in the previous one, never in both. So rows are
    counted in a circle, one gather fetches both kinds, and the sign of the row number tells them apart.
    """
    c, dy, dx = taps(G)
    slot = tl.arange(0, G.slots)
    y = (slot // G.width)[None, :] - (dy * G.dilation_h)[:, None]
    x = (slot % G.width)[None, :] - (dx * G.dilation_w)[:, None] + G.padding_w
    circle: tl.constexpr = G.chunk_rows * G.stride_h
    around = tl.where(y < 0, y + circle, y)
    valid = (around % G.stride_h == 0) & (x >= 0) & (x % G.stride_w == 0) & (x < G.out_width * G.stride_w)
    valid = valid & (slot < circle * G.width)[None, :] & (c < G.channels)[:, None]
    source = (around // G.stride_h) * G.out_width + x // G.stride_w
    # Source, validity and sign in one number per entry: it stays in registers from chunk to chunk.
    code = tl.where(valid, tl.where(y < 0, source + G.pixels, source), 2 * G.pixels)
    fetched = tl.gather(s, code & (G.pixels - 1), axis=1)
    own = _per_channel(tl.where(code < G.pixels, fetched, 0.0), c, G)
    following = _per_channel(tl.where((code >= G.pixels) & (code < 2 * G.pixels), fetched, 0.0), c, G)
    return own, following


@triton.jit
def _per_channel(parts, c, G: tl.constexpr):
    index = tl.arange(0, G.channels_padded)
    total = tl.full((G.channels_padded, G.slots), 0.0, tl.float32)
    channels: tl.constexpr = G.channels
    for channel in tl.static_range(channels):
        one = tl.sum(tl.where((c == channel)[:, None], parts, 0.0), axis=0)
        total = tl.where((index == channel)[:, None], one[None, :], total)
    return total
