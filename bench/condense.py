# SPDX-License-Identifier: MIT
"""`python bench/condense.py IN.json OUT.json`: what is worth keeping of a pytest-benchmark JSON file.

For every case and contender the median and quartiles in milliseconds and how many times the `cpu` backend is faster,
with the machine and versions they were measured with.
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


def main(source: str, target: str) -> None:
    Path(target).write_text(json.dumps(condense(json.loads(Path(source).read_text())), indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
