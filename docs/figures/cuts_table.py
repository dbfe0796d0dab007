# SPDX-License-Identifier: MIT
"""`python docs/figures/cuts_table.py`: docs/_cuts.md, from bench/results/cuts.json."""

from __future__ import annotations

import json
from typing import Any

from results import CUTS, HERE

TARGET = HERE.parent / "_cuts.md"


def networks() -> dict[str, Any]:
    """What bench/runs/cuts.py wrote, by network."""
    return json.loads(CUTS.read_text(encoding="utf-8"))["networks"]


def table() -> str:
    """A table of the cuts of all networks at all eps, then what was chosen for each."""
    lines = [
        "| network, ε | cut | share | units a step | cosine | equal signs | gain | bought | of fresh | a unit |",
        "|---" * 10 + "|",
    ]
    for name, network in networks().items():
        for report in network["reports"]:
            lines += [f"| {name}, {_eps(report['eps'])} | {_cells(cut, report)} |" for cut in report["cuts"]]
            lines.append(_fresh(report))
    return "\n".join([*lines, "", *map(_chosen, networks(), networks().values())])


def _bought_by_fresh(report: dict[str, Any]) -> float:
    """What the steps along fresh gradients add beyond the first one repeated."""
    return sum(report["fresh_gain"]) - sum(report["cuts"][0]["repeated_gain"])


def _fresh(report: dict[str, Any]) -> str:
    bought, units = _bought_by_fresh(report), 2 * (report["n"] - 1)
    gain = sum(report["fresh_gain"])
    return f"| | fresh gradients | | 2 | 1 | 100 % | {gain:.4f} | {bought:+.4f} | 100 % | {bought / units:+.4f} |"


def _cells(cut: dict[str, Any], report: dict[str, Any]) -> str:
    units = cut["share"] / report["n"] if cut["linear"] else 2 * cut["share"]
    per_unit = cut["bought_per_unit"]
    return " | ".join(
        [
            f"`{cut['name']}`", f"{100 * cut['share']:.1f} %", f"{units:.2f}", f"{cut['cosine'][-1]:.3f}",
            f"{100 * cut['sign_agreement'][-1]:.1f} %", f"{sum(cut['gain']):.4f}", f"{cut['bought']:+.4f}",
            f"{100 * cut['bought'] / _bought_by_fresh(report):.0f} %",
            "linear" if per_unit is None else f"{per_unit:+.4f}",
        ]
    )  # fmt: skip


def _chosen(name: str, network: dict[str, Any]) -> str:
    tuning, last = network["tuning"], network["trained"]
    one = tuning["chosen"]
    reached = 100 * one["gain"] / tuning["reference"]
    return (
        f"* {name} ({last['clean']:.1f} % clean after {last['epoch']} epochs), `--tune {tuning['share']:g}`: "
        f"m {one['m']}, n {one['n']}, `{one['cut']}`, {one['units']:.2f} units, {reached:.0f} % of the gain of ten "
        "fresh steps, which cost 20."
    )


def _eps(eps: float) -> str:
    return f"{255 * eps:.0f}/255" if eps < 0.1 else f"{eps:g}"


if __name__ == "__main__":
    TARGET.write_text(table() + "\n", encoding="utf-8")
