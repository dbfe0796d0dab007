# SPDX-License-Identifier: MIT
"""`python docs/figures/cpu_table.py` prints README's table of the inner loop on a CPU."""

from __future__ import annotations

from results import measured

from yopo_ext.benchmark.report import milliseconds

OTHERS = ("authors", "lean", "compiled")


def readme_table() -> str:
    lines = ["| | yopo_ext | " + " | ".join(OTHERS) + " |", "|---|---|---|---|---|"]
    for name, contenders in measured()["cases"].items():
        cells = [f"{_of(contenders[other])} ({contenders[other]['times_cpu']:.1f} ×)" for other in OTHERS]
        lines.append(f"| {name} | **{_of(contenders['cpu'])}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(timing: dict) -> str:
    return f"{milliseconds(timing['median'])} ms"


if __name__ == "__main__":
    print(readme_table())
