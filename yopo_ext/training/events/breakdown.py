# SPDX-License-Identifier: MIT
"""Where a step's time goes."""

from __future__ import annotations

from collections.abc import Mapping

from ...evaluation import format_table

_NAMES = {
    "data": "data", "passes": "full passes", "inner": "inner loop / attack", "exchange": "gradient exchange",
    "optimizer": "optimiser",
}  # fmt: skip


def breakdown_table(spans: Mapping[str, float], seconds: float, steps: int) -> str:
    """Milliseconds a step and share of the time, one row a span; what no span covers is "other".

    Args:
        spans: seconds by name, over ``steps`` steps.
        seconds: all of it.
    """
    parts = {_NAMES.get(name, name): spent for name, spent in spans.items()}
    parts["other"] = max(0.0, seconds - sum(spans.values()))
    parts["step"] = seconds
    rows = [
        (name, f"{1e3 * spent / max(steps, 1):.2f}", f"{spent / max(seconds, 1e-9):.1%}")
        for name, spent in parts.items()
    ]
    return format_table(("part", "ms a step", "share"), rows)
