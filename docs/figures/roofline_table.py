# SPDX-License-Identifier: MIT
"""`python docs/figures/roofline_table.py`: docs/_roofline.md, the least work of each case and what was measured."""

from __future__ import annotations

from results import HERE, measured, provenance

from yopo_ext.benchmark.cases import CASES

COMPETITORS = ("authors", "lean", "compiled")
TARGET = HERE.parent / "_roofline.md"


def table() -> str:
    result = measured()
    lines = [
        "| case | least arithmetic | least traffic | FLOP / byte | yopo_ext | useful rate | traffic | next best |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        medians = {name: values["median"] for name, values in result["cases"][case.name].items()}
        seconds = medians["cpu"] * 1e-3
        best = min(COMPETITORS, key=medians.__getitem__)
        rates = f"{case.flops / seconds / 1e9:.0f} GFLOP/s | {case.bytes / seconds / 1e9:.2g} GB/s"
        lines.append(
            f"| {case.name} | {case.flops / 1e9:.3g} GFLOP | {case.bytes / 1e6:.3g} MB | {case.flops / case.bytes:.0f} "
            f"| {medians['cpu']:.3g} ms | {rates} "
            f"| {best}, {medians[best] / medians['cpu']:.1f} × |"
        )  # fmt: skip
    return "\n".join([*lines, "", f"Measured on: {provenance(result)}."]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(table())
