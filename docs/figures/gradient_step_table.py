# SPDX-License-Identifier: MIT
"""`python docs/figures/gradient_step_table.py`: docs/_gradient-step.md, attack steps that end in the kernel."""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE, provenance

from yopo_ext.benchmark.report import milliseconds

MEASURED = BENCH / "results" / "gradient-step.json"
TARGET = HERE.parent / "_gradient-step.md"
COLUMNS = {
    "step_eval": "step, evaluation mode", "step_train": "step, training mode", "pgd_10_training": "PGD-10 training",
    "pgd_40_measuring": "PGD-40, measuring",
}  # fmt: skip


def table() -> str:
    result = json.loads(MEASURED.read_text())
    lines = ["| the two operations | NCHW | channels-last | signs that differ |", "|---|---|---|---|"]
    for name, formats in result["operations"].items():
        nchw, last = formats["NCHW"], formats["channels-last"]
        lines.append(f"| {name} | {_of(nchw)} | {_of(last)} | {_differ(nchw)}, {_differ(last)} |")
    header = ["network", "images", "share of the multiply-adds", *COLUMNS.values(), "signs that differ"]
    lines += ["", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for name, found in result["networks"].items():
        cells = [name, str(found["images"]), f"{found['share_of_multiply_adds']:.1%}"]
        lines.append(f"| {' | '.join([*cells, *(_of(found[column]) for column in COLUMNS), _differ(found)])} |")
    return "\n".join([*lines, "", f"Measured on: {provenance(result)}."]) + "\n"


def _of(entry: dict[str, Any]) -> str:
    return f"{entry['ratio']:.2f} × {milliseconds(entry['autograd_ms'])} ms"


def _differ(entry: dict[str, Any]) -> str:
    return f"{entry['different']} of {entry['elements']}"


if __name__ == "__main__":
    TARGET.write_text(table())
