# SPDX-License-Identifier: MIT
"""Turns the folder of a `yopo compare` into what is committed: one JSON with its provenance, and the figure.

    python bench/runs/collect.py FOLDER NAME

Writes bench/results/NAME.json and docs/figures/NAME.png.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import TrainConfig
from yopo_ext.training.config import HOST_FIELDS

ROOT = Path(__file__).resolve().parents[2]
POINT = ("epoch", "seconds", "clean", "fgsm", "robust")


def collect(folder: Path) -> dict[str, Any]:
    """Summary, and for each method its settings that are not the default, and its curve.

    Raises:
        ValueError: the comparison is not finished.
    """
    summary = folder / "summary.json"
    if not summary.is_file():
        raise ValueError(f"{folder}: no summary.json; is it the folder of a finished yopo compare?")
    defaults = TrainConfig().to_dict()
    methods = {}
    for path in sorted(folder.glob("*/config.json"), key=lambda one: one.stat().st_mtime_ns):
        settings = TrainConfig.read(path).to_dict()
        lines = map(json.loads, (path.parent / "metrics.jsonl").read_text().splitlines())
        methods[path.parent.name] = {
            "settings": {
                name: value for name, value in settings.items() if value != defaults[name] and name not in HOST_FIELDS
            },
            "curve": [{name: line[name] for name in POINT} for line in lines if "robust" in line],
        }
    return {"machine": describe_machine("cpu"), "summary": json.loads(summary.read_text()), "methods": methods}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    target = ROOT / "bench" / "results" / f"{options.name}.json"
    target.write_text(json.dumps(collect(options.folder), indent=1) + "\n")
    shutil.copyfile(options.folder / "accuracy-time.png", ROOT / "docs" / "figures" / f"{options.name}.png")
    print(f"{target}\n{ROOT / 'docs' / 'figures' / options.name}.png")


if __name__ == "__main__":
    main()
