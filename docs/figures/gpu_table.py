# SPDX-License-Identifier: MIT
"""`python docs/figures/gpu_table.py`: docs/_gpu-speed.md and docs/_gpu-counters.md, of what was measured on a GPU.

The README's table is `readme_table()`. All of bench/results/gpu-h100.json, which bench/gpu_check.sh measures and
bench/gpu_collect.py collects.
"""

from __future__ import annotations

from results import HERE, gpu_provenance, measured_on_gpu

COMPETITORS = ("authors", "lean", "compiled", "compiled-graph")
SPEED, COUNTERS = HERE.parent / "_gpu-speed.md", HERE.parent / "_gpu-counters.md"


def median(case: dict, name: str) -> float | None:
    return case["contenders"].get(name, {}).get("median")


def cell(microseconds: float | None) -> str:
    return "–" if microseconds is None else f"{microseconds:,.0f}" if microseconds >= 100 else f"{microseconds:.1f}"


def speed_table() -> str:
    result = measured_on_gpu()
    heads = "yopo_ext | of the floor | `highest` | triton | authors | lean | compiled | lean, graph | compiled, graph"
    lines = [f"| case | {heads} |", "|---|---|---|---|---|---|---|---|---|---|"]
    others = ("ours-highest", "triton-high", "authors", "lean", "compiled", "lean-graph", "compiled-graph")
    for name, case in result["cases"].items():
        ours, floor = median(case, "ours-high"), median(case, "copy")
        cells = " | ".join(cell(median(case, other)) for other in others)
        lines.append(f"| {name} | **{cell(ours)}** | {floor / ours:.0%} of {cell(floor)} | {cells} |")
    return "\n".join([*lines, "", f"Microseconds a call, medians. {gpu_provenance(result)}."])


def readme_table() -> str:
    result = measured_on_gpu()
    lines = ["| | yopo_ext | authors | lean | compiled | compiled, in a CUDA graph |", "|---|---|---|---|---|---|"]
    for name, case in result["cases"].items():
        ours = median(case, "ours-high")
        times = [median(case, other) for other in COMPETITORS]
        cells = " | ".join(f"{cell(time)} µs ({time / ours:.1f} ×)" for time in times)
        lines.append(f"| {name} | **{cell(ours)} µs** | {cells} |")
    return "\n".join(lines)


def both(found: dict, part: str, name: str) -> str:
    ours = found["counted"][part]["model_cycles" if name == "cycles" else name]
    return f"{ours:,.0f} / {found['measured'][part][name]:,.0f}"


def counters_table() -> str:
    result = measured_on_gpu()
    lines = [
        "| case | a step: warp instructions | HMMA | wavefronts | cycles | head + tail: warp instructions | cycles |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in result["counters"].items():
        if name != "patch":  # of which one block of many is counted
            step = [both(found, "step", key) for key in ("instructions", "hmma", "wavefronts", "cycles")]
            rest = [both(found, "rest", key) for key in ("instructions", "cycles")]
            lines.append(f"| {name} | {' | '.join(step + rest)} |")
    return "\n".join([*lines, "", f"Counted or modelled / measured. {gpu_provenance(result)}."])


if __name__ == "__main__":
    SPEED.write_text(speed_table() + "\n")
    COUNTERS.write_text(counters_table() + "\n")
    print(readme_table())
