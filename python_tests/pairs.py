# SPDX-License-Identifier: MIT
"""Rows of settings in which every two values of two different settings meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

Row = dict[str, Any]


def pairwise(values: Mapping[str, Sequence[Any]], allowed: Callable[[Row], bool]) -> list[Row]:
    """Rows that cover every pair of values which some ``allowed`` row holds; greedy, always the same.

    ``allowed`` says of a partial row whether it may be extended.
    """
    missing = {
        ((one, i), (other, j))
        for one, other in combinations(values, 2)
        for i in range(len(values[one]))
        for j in range(len(values[other]))
    }
    rows = []
    while missing:
        row: Row = {}
        (one, i), (other, j) = min(missing, key=repr)
        missing.discard(((one, i), (other, j)))
        if not _put(row, one, values[one][i], allowed) or not _put(row, other, values[other][j], allowed):
            continue
        for name in values:
            if name not in row:
                ranked = sorted(range(len(values[name])), key=lambda k: -_gain(row, name, k, values, missing))
                if not any(_put(row, name, values[name][k], allowed) for k in ranked):
                    raise ValueError(f"{name}: no value goes with {row}")
        missing -= _pairs(row, values)
        rows.append(row)
    return rows


def _put(row: Row, name: str, value: Any, allowed: Callable[[Row], bool]) -> bool:
    if not allowed({**row, name: value}):
        return False
    row[name] = value
    return True


def _pairs(row: Row, values: Mapping[str, Sequence[Any]]) -> set:
    index = {name: list(values[name]).index(value) for name, value in row.items()}
    return {((a, index[a]), (b, index[b])) for a, b in combinations([name for name in values if name in row], 2)}


def _gain(row: Row, name: str, k: int, values: Mapping[str, Sequence[Any]], missing: set) -> int:
    place = list(values).index
    new = (name, k)
    old = [(other, list(values[other]).index(value)) for other, value in row.items()]
    return sum(((one, new) if place(one[0]) < place(name) else (new, one)) in missing for one in old)
