# SPDX-License-Identifier: MIT
"""`python bench/condense.py IN.json OUT.json`: what is worth keeping of a pytest-benchmark JSON file.

For every case and contender the median and quartiles in milliseconds and how many times the `cpu` backend is faster,
with the machine and versions they were measured with. Prints the table of the README.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

MACHINE = ("torch", "yopo_ext", "threads", "isa")


def condense(raw: dict) -> dict:
    info = raw["machine_info"]
    cases: dict[str, dict] = defaultdict(dict)
    for bench in raw["benchmarks"]:
        extra, stats = bench["extra_info"], bench["stats"]
        if "contender" in extra:
            quartiles = {name: round(1e3 * stats[name], 4) for name in ("median", "q1", "q3")}
            cases[extra["case"]][extra["contender"]] = {**quartiles, "rounds": stats["rounds"]}
    for contenders in cases.values():
        for values in contenders.values():
            values["times_cpu"] = round(values["median"] / contenders["cpu"]["median"], 2)
    machine = {name: info.get(name) for name in MACHINE} | {"cpu": info["cpu"].get("brand_raw")}
    return {"machine": machine, "date": raw["datetime"][:10], "unit": "ms", "cases": dict(cases)}


def table(result: dict) -> str:
    others = ("authors", "lean", "compiled")
    lines = ["| | yopo_ext | " + " | ".join(others) + " |", "|---|---|---|---|---|"]
    for name, contenders in result["cases"].items():
        cells = [f"{contenders[o]['median']:.3g} ms ({contenders[o]['times_cpu']:.1f} ×)" for o in others]
        lines.append(f"| {name} | **{contenders['cpu']['median']:.3g} ms** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(source: str, target: str) -> None:
    result = condense(json.loads(Path(source).read_text()))
    Path(target).write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
