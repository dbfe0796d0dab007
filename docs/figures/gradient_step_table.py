# SPDX-License-Identifier: MIT
"""`python docs/figures/gradient_step_table.py`: docs/_gradient-step.md, attack steps that end in the kernel.

Of `bench/results/gradient-step.json`, or of `gradient-step-busy.json` where there is none of a quiet machine.
"""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE, provenance

QUIET, BUSY = (BENCH / "results" / f"{name}.json" for name in ("gradient-step", "gradient-step-busy"))
TARGET = HERE.parent / "_gradient-step.md"
COLUMNS = {
    "step_eval": "step, evaluation mode", "step_train": "step, training mode", "pgd_10_training": "PGD-10 training",
    "pgd_40_measuring": "PGD-40, measuring",
}  # fmt: skip


def table() -> str:
    busy = not QUIET.is_file()
    result = json.loads((BUSY if busy else QUIET).read_text())
    lines = ["| the two operations | NCHW | channels-last | signs that differ |", "|---|---|---|---|"]
    for name, formats in result["operations"].items():
        nchw, last = formats["NCHW"], formats["channels-last"]
        lines.append(f"| {name} | {_of(nchw)} | {_of(last)} | {_differ(nchw)}, {_differ(last)} |")
    header = ["network", "images", "share of the multiply-adds", *COLUMNS.values(), "signs that differ"]
    lines += ["", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for name, found in result["networks"].items():
        cells = [name, str(found["images"]), f"{found['share_of_multiply_adds']:.1%}"]
        lines.append(f"| {' | '.join([*cells, *(_of(found[column]) for column in COLUMNS), _differ(found)])} |")
    load = f", beside other work (load {result['load before']:g}), so that single ratios are noise" if busy else ""
    return "\n".join([*lines, "", f"Measured on: {provenance(result)}{load}."]) + "\n"


def _of(entry: dict[str, Any]) -> str:
    return f"{entry['ratio']:.2f} × {entry['autograd_ms']:.3g} ms"


def _differ(entry: dict[str, Any]) -> str:
    return f"{entry['different']} of {entry['elements']}"


if __name__ == "__main__":
    TARGET.write_text(table())
