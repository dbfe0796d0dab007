# SPDX-License-Identifier: MIT
"""Reads what a caller passed to the operators: pairs, per-channel values, names. Values first, shapes in checks.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

PRECISIONS = ("highest", "high")
NORMS = ("linf", "l2")
DIRECTIONS = ("sign", "gradient")
#: Names that an error text has room for.
_SHOWN = 5

PerChannel = float | Sequence[float] | Tensor
#: The box (low, high) of valid images; None: no box.
Bounds = tuple[PerChannel, PerChannel] | None
Pair = int | Sequence[int]


class ChannelValues(NamedTuple):
    """Rows of one value per channel: as Python floats (row-major), or as a float32 tensor where a row was one."""

    floats: list[float]
    table: Tensor | None

    @property
    def given(self) -> bool:
        return bool(self.floats) or self.table is not None


NOTHING = ChannelValues([], None)


def pair(name: str, value: Pair, least: int) -> list[int]:
    """An int or a pair of ints, each at least `least`."""
    items = [value, value] if isinstance(value, int) else value
    if not isinstance(items, Sequence) or len(items) != 2 or not all(type(item) is int for item in items):
        raise TypeError(f"{name}: got {value!r}, expected an int or a pair of ints")
    if min(items) < least:
        raise ValueError(f"{name}: got {value!r}, expected at least {least}")
    return list(items)


def count(name: str, value: int, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if type(value) is not int:
        raise TypeError(f"{name}: got {value!r}, expected an int")
    if value < least:
        raise ValueError(f"{name}: got {value}, expected at least {least}")
    return value


def precision(value: str | None) -> str | None:
    """One of `PRECISIONS`, or None for PyTorch's own setting."""
    return None if value is None else one_of("precision", value, PRECISIONS)


def near(name: str, known: Sequence[str]) -> str:
    """The known names most like this one, for an error text; the first of all where none is."""
    return ", ".join(get_close_matches(name, known, _SHOWN, cutoff=0.5) or known[:_SHOWN])


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, choices))}")
    return value


def channel_row(name: str, value: PerChannel, channels: int) -> list[float] | Tensor:
    """One row: floats where the values can be read without waiting for a device, else the tensor."""
    if isinstance(value, Tensor):
        if value.numel() not in (1, channels) or not (value.is_floating_point() and value.dim() <= 4):
            raise ValueError(
                f"{name}: got a {value.dtype} tensor of shape {tuple(value.shape)}, "
                f"expected floating point values, one or one per channel ({channels})"
            )
        if value.device.type != "cpu" or torch.compiler.is_compiling() or type(value) is not Tensor:
            return value.detach().reshape(-1).float().expand(channels)
        value = value.reshape(-1).tolist()
        value = value[0] if len(value) == 1 else value
    if isinstance(value, Real) and not isinstance(value, bool):
        return [float(value)] * channels
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: got {value!r}, expected a float, or one value per channel")
    if len(value) != channels:
        raise ValueError(f"{name}: got {len(value)} values, expected one, or one per channel ({channels})")
    return [float(item) for item in value]


def _require(name: str, row: list[float] | Tensor, fits: bool, expected: str) -> None:
    if not fits:
        shown = row[0] if len(set(row)) == 1 else row
        raise ValueError(f"{name}: got {shown}, expected {expected}")


def require_finite(name: str, row: list[float] | Tensor, least: float = -math.inf) -> None:
    if isinstance(row, list):
        expected = "finite values" if least == -math.inf else f"finite values of at least {least:g}"
        _require(name, row, all(math.isfinite(item) and item >= least for item in row), expected)


def require_positive(name: str, row: list[float] | Tensor) -> None:
    if isinstance(row, list):
        _require(name, row, all(math.isfinite(item) and item > 0 for item in row), "finite values above 0")


def pack(rows: list[list[float] | Tensor], device: torch.device) -> ChannelValues:
    """The rows as one list of floats, or as one float32 table on `device` if any of them is a tensor."""
    if all(isinstance(row, list) for row in rows):
        return ChannelValues([item for row in rows for item in row], None)
    tensors = [row.to(device) if isinstance(row, Tensor) else filled(row, device) for row in rows]
    return ChannelValues([], torch.stack(tensors))


def filled(values: Sequence[float], device: torch.device) -> Tensor:
    """A float32 tensor of ``values``, filled on the device: a copy from the host would wait for it."""
    return torch.cat([torch.full((1,), value, dtype=torch.float32, device=device) for value in values])


def budget_rows(
    eps: PerChannel, alpha: PerChannel, bounds: Bounds, norm: str, channels: int
) -> list[list[float] | Tensor]:
    """Rows eps, alpha[, low, high]."""
    one_of("norm", norm, NORMS)
    rows = [channel_row("eps", eps, channels), channel_row("alpha", alpha, channels)]
    require_finite("eps", rows[0], least=0.0)
    require_finite("alpha", rows[1])
    if norm == "l2":
        for name, value in (("eps", eps), ("alpha", alpha)):
            if values_given(value) != 1:
                raise ValueError(f"{name}: got one value per channel, expected a single one with norm='l2'")
    if bounds is None:
        return rows
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        raise TypeError(f"bounds: got {bounds!r}, expected a pair (low, high) or None")
    low, high = channel_row("bounds[0]", bounds[0], channels), channel_row("bounds[1]", bounds[1], channels)
    if isinstance(low, list) and isinstance(high, list):
        ordered = all(below < above for below, above in zip(low, high, strict=True))
        if not ordered:
            raise ValueError(f"bounds: got {bounds!r}, expected low < high")
    return [*rows, low, high]


def values_given(value: object) -> int:
    """How many values a per-channel argument holds."""
    if isinstance(value, Tensor):
        return value.numel()
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str) else 1


def normalization(
    mean: PerChannel | None, std: PerChannel | None, channels: int, device: torch.device
) -> ChannelValues:
    """Rows mean, std; nothing if neither is given."""
    if mean is None and std is None:
        return NOTHING
    rows = [
        channel_row("mean", 0.0 if mean is None else mean, channels),
        channel_row("std", 1.0 if std is None else std, channels),
    ]
    require_finite("mean", rows[0])
    require_positive("std", rows[1])
    return pack(rows, device)
