# SPDX-License-Identifier: MIT
"""Directions as far apart as they can be, where there are too few dimensions for a simplex: by optimisation."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

#: Starts, of which the best counts, for so many directions at most: more than that have many optima as good.
STARTS, _MANY = 4, 32
#: How sharply the largest cosine is picked out, one round of steps each.
SHARPNESS = (4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
_ITERATIONS = 50


@lru_cache(maxsize=8)  # a run asks again where it reads its network back
def spread_directions(count: int, dimensions: int) -> Tensor:
    """``count`` unit vectors (count, dimensions), float64, whose largest cosine is small; the same ones at every call.

    L-BFGS on log Σ_{i<j} exp(β cos_ij) / β with growing β, from `STARTS` random starts. A local optimum: for sizes with
    a known one it is that to 1e-3 (`python_tests/models/test_heads.py`).
    """
    generator = torch.Generator().manual_seed(0)
    starts = torch.randn(STARTS if count <= _MANY else 1, count, dimensions, generator=generator, dtype=torch.float64)
    found = [_spread(start) for start in starts]
    return min(found, key=largest_cosine)


def largest_cosine(directions: Tensor) -> float:
    """Of two different rows of unit length."""
    return float(_cosines(directions).max())


def _spread(start: Tensor) -> Tensor:
    free = start.clone().requires_grad_()
    for sharpness in SHARPNESS:
        optimizer = torch.optim.LBFGS([free], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

        def loss(sharpness: float = sharpness) -> Tensor:
            optimizer.zero_grad()  # noqa: B023  called within this round alone
            value = (sharpness * _cosines(_unit(free))).logsumexp(0) / sharpness
            value.backward()
            return value

        with torch.enable_grad():
            optimizer.step(loss)
    return _unit(free.detach())


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def _cosines(directions: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(len(directions), len(directions), offset=1)
    return (directions @ directions.T)[rows, columns]
