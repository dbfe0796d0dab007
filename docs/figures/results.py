# SPDX-License-Identifier: MIT
"""What bench/results holds, for the pictures and tables of the documentation, and where it was measured."""

from __future__ import annotations

import json
import statistics
from itertools import pairwise
from pathlib import Path

from yopo_ext.training import make_config

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent.parent / "bench"
MEASURED = BENCH / "results" / "cpu-2-cores-avx512.json"
MEASURED_ON_GPU = BENCH / "results" / "gpu-h100.json"
DETECTORS = BENCH / "results" / "mnist-detectors.json"
TRAININGS = BENCH / "results" / "mnist-methods.json"
PRINCIPLE = BENCH / "results" / "maximum-principle.json"
CUTS = BENCH / "results" / "cuts.json"
BLACK_BOX = BENCH / "results" / "black-box.json"


def measured() -> dict:
    return json.loads(MEASURED.read_text())


def measured_on_gpu() -> dict:
    return json.loads(MEASURED_ON_GPU.read_text())


def trainings() -> dict:
    return json.loads(TRAININGS.read_text())


def seconds_per_epoch(method: dict) -> float:
    """The median over all epochs of all seeds, so that a while in which the machine was busy does not count."""
    ends = [[0.0, *(point["seconds"] for point in seed["curve"])] for seed in method["seeds"].values()]
    return statistics.median(after - before for seed in ends for before, after in pairwise(seed))


def printed(name: str) -> str:
    """A method as in text: "fast" becomes "FastAT"."""
    return make_config(method=name).label


def provenance(result: dict) -> str:
    machine = result["machine"]
    return (
        f"{machine['cpu']}, {machine['threads']} threads, {machine['isa']}, torch {machine['torch']}, {result['date']}"
    )


def gpu_provenance(result: dict) -> str:
    machine = result["machine"]
    return f"{machine['gpu']}, driver {machine['driver']}, torch {machine['torch']}, {result['date']}"


def machines(cells: list[dict]) -> str:
    """What made an experiment's cells: the GPUs, or the CPUs of which each training had one thread."""
    made = (cell["machine"] for cell in cells)
    names = (
        f"{one['gpu']}, torch {one['torch']}" if "gpu" in one else f"{one['cpu']}, one thread, torch {one['torch']}"
        for one in made
    )
    return "; ".join(dict.fromkeys(names))


def black_box() -> dict:
    return json.loads(BLACK_BOX.read_text())["networks"]
