# SPDX-License-Identifier: MIT
"""What calls of bench/gpu_check.sh wrote, as one small file of bench/results.

    python bench/gpu_collect.py NAME FOLDER [FOLDER ...]

FOLDER holds what there is of gpu_bench.json, counters.json, training-step-*.json and nvidia-smi.txt (what that command
prints). A later folder replaces what an earlier one has of the same case. Microseconds, medians and deciles.
"""

from __future__ import annotations

import argparse
import json
import re
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def read(folder: Path, name: str) -> dict:
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else {}


def microseconds(contender: dict) -> dict:
    """Without the ratios, which follow."""
    if "error" in contender:
        return contender
    return {name: round(contender[name] * 1e6, 2) for name in ("median", "q10", "q90")}


def cases(folder: Path) -> dict:
    return {
        name: {
            "bytes": case["bytes"],
            "flops": case["flops"],
            "contenders": {who: microseconds(found) for who, found in case["contenders"].items()},
        }
        for name, case in read(folder, "gpu_bench.json").get("cases", {}).items()
    }


def training_steps(folder: Path) -> dict:
    kept = ("case", "options", "median", "ours_mean_by_part")
    return {
        path.stem.removeprefix("training-step-"): {name: document[name] for name in kept}
        for path in sorted(folder.glob("training-step-*.json"))
        for document in [json.loads(path.read_text())]
    }


def machine(folder: Path) -> dict:
    described = read(folder, "gpu_bench.json").get("machine", {})
    described.pop("platform", None)  # a kernel's name says nothing of a GPU
    path = folder / "nvidia-smi.txt"
    found = re.search(r"Driver Version: (\S+)", path.read_text()) if path.exists() else None
    return described | ({"driver": found[1]} if found else {})


def collect(folders: list[Path]) -> dict:
    document: dict = {"date": str(date.today()), "machine": {}, "cases": {}, "counters": {}, "training_steps": {}}
    for folder in folders:
        document["machine"] |= machine(folder)
        document["cases"] |= cases(folder)
        document["counters"] |= read(folder, "counters.json")
        document["training_steps"] |= training_steps(folder)
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the file in bench/results")
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    target = RESULTS / f"{arguments.name}.json"
    target.write_text(json.dumps(collect(arguments.folders), indent=1) + "\n")
    print(target)


if __name__ == "__main__":
    main()
