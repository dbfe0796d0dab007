# SPDX-License-Identifier: MIT
"""`python docs/figures/black_box_table.py`: docs/_black-box.md, attacks with and without gradients side by side."""

from __future__ import annotations

from results import HERE, black_box

TARGET = HERE.parent / "_black-box.md"


def table() -> str:
    """A row an attack, of each network the accuracy and the queries."""
    networks = {name: one for name, one in black_box().items() if "attacks" in one}
    head = " | ".join(f"{name} % | queries: mean, until one is broken" for name in networks)
    lines = [f"| | {head} |", "|---" * (1 + 2 * len(networks)) + "|"]
    lines.append("| clean | " + " | ".join(f"{one['clean']:.1f} | " for one in networks.values()) + " |")
    for attack in next(iter(networks.values()))["attacks"]:
        found = [one["attacks"][attack] for one in networks.values()]
        cells = " | ".join(f"{one['robust']:.1f} | {queries(one.get('queries'))}" for one in found)
        lines.append(f"| {attack} | {cells} |")
    distances = [one["attacks"]["RayS"]["distance"]["mean"] for one in networks.values()]
    lines.append("| mean distance to the boundary (RayS) | " + " | ".join(f"{one:.3f} | " for one in distances) + " |")
    return "\n".join(lines)


def queries(counted: dict | None) -> str:
    """Of one attack on one network."""
    if counted is None:
        return ""
    broken = "–" if counted["broken"] is None else f"{counted['broken']:,.0f}"
    return f"{counted['mean']:,.0f}, {broken}"


if __name__ == "__main__":
    TARGET.write_text(table() + "\n", encoding="utf-8")
