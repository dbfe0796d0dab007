# SPDX-License-Identifier: MIT
"""Random numbers that belong to an image: whatever batch, shard or device it is on, it gets the same ones.

They are a function of a seed, a stream's number and the image's own bytes, computed by SplitMix64 (Steele, Lea, Flood
2014) in integer arithmetic that wraps around: a whole batch at once, without a generator whose state would depend on
the images drawn for before.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = 64
_GOLDEN = 0x9E3779B97F4A7C15
_FLOAT_BITS = 24
_TINY = 1e-12
_LAST_BIT = 2.0**-23


def image_keys(pixels: Tensor, seed: int, stream: int) -> Tensor:
    """A key of each image: (B,) int64 for pixels (B, C, H, W). Equal images have equal keys.

    pixels: uint8, or floats. An image in [0, 1] whose values are multiples of 1/255 (up to the last bit of 1) has the
    key of its 8-bit twin; any other that of its float32 bits.
    """
    flat = pixels.flatten(1)
    if not flat.is_floating_point():
        content = _content(flat)
    else:
        flat = flat.to(torch.float32)
        eight_bit = (flat * 255).round()
        is_eight_bit = ((eight_bit / 255 - flat).abs() <= _LAST_BIT).all(1)
        bits = (flat + 0.0).view(torch.int32)  # + 0: −0 is the same value as 0
        content = torch.where(is_eight_bit, _content(eight_bit), _content(bits))
    numbers = torch.tensor([_signed(seed), _signed(stream * _GOLDEN)], device=flat.device)
    return _mix(content ^ _mix(_mix(numbers[0]) + numbers[1]))


def _content(values: Tensor) -> Tensor:
    numbers = values.to(torch.int64)
    return (numbers + 1).mul_(_mix(_counter(numbers.shape[1], numbers.device))).sum(1)


def uniform(keys: Tensor, count: int) -> Tensor:
    """(B, count) float32 in [0, 1), multiples of 2⁻²⁴."""
    bits = _mix(keys[:, None] + _counter(count, keys.device))
    return _shift(bits, _BITS - _FLOAT_BITS).to(torch.float32) * 2.0**-_FLOAT_BITS


def signs(keys: Tensor, count: int) -> Tensor:
    """(B, count) float32, each −1 or 1."""
    return 1 - 2 * (uniform(keys, count) < 0.5).to(torch.float32)


def uniform_in_ball(keys: Tensor, shape: torch.Size, eps: float, norm: str) -> Tensor:
    """η⁰ of ``shape`` (B, C, H, W), float32, uniform in the ball of radius ``eps`` around 0 (linf: per element)."""
    size = shape[1:].numel()
    if norm == "linf":
        return ((2 * uniform(keys, size) - 1) * eps).reshape(shape)
    numbers = uniform(keys, 2 * size + 1)
    # Box and Muller; 1 − u lies in (0, 1].
    normal = (-2 * (1 - numbers[:, :size]).log()).sqrt() * (2 * torch.pi * numbers[:, size : 2 * size]).cos()
    # The share of the ball's volume within radius r grows as r to the number of dimensions.
    radius = eps * numbers[:, 2 * size :] ** (1.0 / size)
    return (normal * (radius / normal.norm(dim=1, keepdim=True).clamp(min=_TINY))).reshape(shape)


def _counter(count: int, device: torch.device) -> Tensor:
    return torch.arange(1, count + 1, device=device) * _signed(_GOLDEN)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    # torch shifts the sign in; the mask makes it a shift of an unsigned number.
    return (z >> bits) & ((1 << (_BITS - bits)) - 1)


def _signed(value: int) -> int:
    value %= 1 << _BITS
    return value - (1 << _BITS) if value >> (_BITS - 1) else value
