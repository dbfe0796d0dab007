# SPDX-License-Identifier: MIT
"""Turns the folders of some `yopo compare`, one a seed, into what is committed: one JSON with its provenance.

    python bench/runs/collect.py FOLDER NAME

FOLDER holds seed-0, seed-1, ...; a run that bench/runs/attack_finals.sh measured brings its attacks along. Writes
bench/results/NAME.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import Config, make_config, read_run
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.host import choose_device
from yopo_ext.training.runs.comparison import rows_in

ROOT = Path(__file__).resolve().parents[2]
POINT = ("epoch", "seconds", "clean", "fgsm", "curve_robust")
ATTACKS = ("pgd-20", "pgd-50-10", "autoattack")


def collect(folder: Path) -> dict[str, Any]:
    """For each method its settings that are not the default, and for each seed accuracies, seconds and curve.

    Raises:
        ValueError: there is no seed, or the comparison of one is not finished.
    """
    seeds = sorted(folder.glob("seed-*"))
    if not seeds:
        raise ValueError(f"{folder}: no folders seed-0, seed-1, ...")
    methods: dict[str, Any] = {}
    for seed in seeds:
        summary = seed / "summary.json"
        if not summary.is_file():
            raise ValueError(f"{seed}: no summary.json; is it the folder of a finished yopo compare?")
        finals = json.loads(summary.read_text())
        for path in rows_in(seed):
            name, config = path.parent.name, read_run(path)
            method = methods.setdefault(name, {"settings": settings(config), "seeds": {}})
            if method["settings"] != settings(config):
                raise ValueError(f"{path}: other settings than those of the seeds before")
            method["seeds"][str(config["seed"])] = finals[name] | curve_and_attacks(path.parent)
    return {"machine": describe_machine(choose_device(config["device"])), "methods": methods}


def settings(config: Config) -> dict[str, Any]:
    """What makes the run another than `yopo train` without options, but for its seed and where it ran."""
    usual, found = make_config().settings(host=False), config.settings(host=False)
    return {
        name: value for name, value in found.items() if name != "seed" and (name not in usual or value != usual[name])
    }


def curve_and_attacks(run: Path) -> dict[str, Any]:
    """The points of the accuracy-time curve, and the final network's accuracy under each attack that was made."""
    found: dict[str, Any] = {"curve": [point for point in points(run, POINT) if "curve_robust" in point]}
    reports = {name: run / f"{name}.json" for name in ATTACKS}
    attacks = {name: json.loads(path.read_text()) for name, path in reports.items() if path.is_file()}
    if attacks:
        found["attacks"] = {
            name: {"images": report["images"], "clean": report["clean"], "robust": report["worst"]}
            for name, report in attacks.items()
        }
    return found


def points(run: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each epoch in a run's log, what it has of these names."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{name: line[name] for name in names if name in line} for line in lines if "epoch" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    target = ROOT / "bench" / "results" / f"{options.name}.json"
    write_text_atomically(target, json.dumps(collect(options.folder), indent=1) + "\n")
    print(target)


if __name__ == "__main__":
    main()
