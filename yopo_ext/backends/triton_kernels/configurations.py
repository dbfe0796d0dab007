# SPDX-License-Identifier: MIT
"""How the kernels are tiled, by kernel and architecture: a table to read, not a search at the first call.

YOPO_EXT_TRITON_CONFIGURATIONS names a JSON file, written by bench/tune_triton.py, whose entries replace these.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Configuration(NamedTuple):
    """
    pixels: of p in a chunk, at most (more where a row of p needs it).
    k_block: output channels per matrix product.
    warps, stages: of a program; stages are chunks in flight.
    programs: into how many programs a small batch is cut; more of them read more rows of p twice.
    """

    pixels: int
    k_block: int
    warps: int
    stages: int
    programs: int


#: The architecture that stands for the interpreter: tiles so small that small tensors walk through many of them.
INTERPRETER = 0


def _rows(sm80: tuple, sm86: tuple, sm90: tuple, sm100: tuple) -> dict[int, Configuration]:
    return {
        INTERPRETER: Configuration(pixels=80, k_block=16, warps=4, stages=1, programs=3),
        80: Configuration(*sm80, programs=216),
        86: Configuration(*sm86, programs=168),
        90: Configuration(*sm90, programs=264),
        100: Configuration(*sm100, programs=296),
    }


#: By kernel and precision, then by compute capability; a GPU takes the newest row that is not newer than itself.
#: "smooth" is nonlinear with an activation that takes exponentials, and registers for them.
#: Chosen from compiled code (nothing spilled, p loaded 16 bytes at a time and ahead of its use), not from timings.
TABLE: dict[str, dict[int, Configuration]] = {
    "linear high": _rows((64, 64, 4, 4), (64, 64, 4, 3), (64, 64, 4, 4), (64, 64, 4, 4)),
    "linear highest": _rows((64, 16, 4, 3), (64, 16, 4, 3), (64, 16, 4, 3), (64, 16, 4, 3)),
    "nonlinear high": _rows((64, 64, 8, 2), (64, 64, 8, 2), (64, 64, 8, 2), (64, 64, 8, 2)),
    "nonlinear highest": _rows((64, 16, 8, 3), (64, 16, 8, 3), (64, 16, 8, 3), (64, 16, 8, 3)),
    "smooth high": _rows((64, 32, 8, 2), (64, 32, 8, 2), (64, 32, 8, 2), (64, 32, 8, 2)),
    "smooth highest": _rows((64, 16, 8, 3), (64, 16, 8, 3), (64, 16, 8, 3), (64, 16, 8, 3)),
    "weights high": _rows((64, 32, 8, 2), (64, 32, 8, 2), (64, 32, 8, 2), (64, 32, 8, 2)),
    "weights highest": _rows((64, 16, 8, 2), (64, 16, 8, 2), (64, 16, 8, 2), (64, 16, 8, 2)),
}

#: Images of at most so many pixels make all steps in one launch, one program an image; larger ones, one launch a step.
ONE_LAUNCH_PIXELS = 64 * 64


def configuration(kernel: str, precision: str, capability: int) -> Configuration:
    """The tiles of a row of TABLE on a compute capability (90 for 9.0), or for INTERPRETER."""
    rows = _table()[f"{kernel} {precision}"]
    return rows[max((row for row in rows if row <= capability), default=min(rows))]


@cache
def _table() -> dict[str, dict[int, Configuration]]:
    path = os.environ.get("YOPO_EXT_TRITON_CONFIGURATIONS")
    if not path:
        return TABLE
    tuned = json.loads(Path(path).read_text())
    return {
        kernel: rows | {int(arch): Configuration(**row) for arch, row in tuned.get(kernel, {}).items()}
        for kernel, rows in TABLE.items()
    }


#: So many steps of the linear ascent are unrolled.
MOST_UNROLLED = 16
