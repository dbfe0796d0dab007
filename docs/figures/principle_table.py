# SPDX-License-Identifier: MIT
"""`python docs/figures/principle_table.py`: docs/_maximum-principle.md, from bench/results/maximum-principle.json."""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE, printed

TARGET = HERE.parent / "_maximum-principle.md"
MEASURED = BENCH / "results" / "maximum-principle.json"


def measured() -> dict[str, Any]:
    """What bench/runs/maximum_principle.py wrote."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def table() -> str:
    """A line a method, of its last epoch."""
    lines = [
        "| | clean % | PGD-10 % | loss at η | gap (5) | by its own p₁ | reached | x₁ stale | p₁ stale | ‖∇H‖ (7) |",
        "|---" * 10 + "|",
    ]
    for name, method in measured()["methods"].items():
        lines.append(f"| {printed(name)} | {' | '.join(_cells(method['epochs'][-1]))} |")
    return "\n".join(lines)


def _cells(last: dict[str, Any]) -> list[str]:
    adversary, stale = last["found"]["adversary"], last["stale"]
    reached = adversary["reached"]
    old = None if stale is None else stale["found"]
    return [
        f"{last['clean']:.1f}", f"{last['curve_robust']:.1f}", f"{last['found']['loss']:.3f}",
        f"{adversary['gap']:.3f}",
        "" if old is None else f"{old['adversary']['gap']:.3f}", "–" if reached is None else f"{100 * reached:.0f} %",
        "0" if old is None else f"{old['layers'][0]['state']:.3f}", "0" if old is None else f"{stale['drift']:.3f}",
        f"{sum(one['ascent'] ** 2 for one in last['found']['layers']) ** 0.5:.3f}",
    ]  # fmt: skip


if __name__ == "__main__":
    TARGET.write_text(table() + "\n", encoding="utf-8")
