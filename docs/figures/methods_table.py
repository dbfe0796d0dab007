# SPDX-License-Identifier: MIT
"""`python docs/figures/methods_table.py`: docs/_mnist-methods.md, what the trainings on MNIST came to and how soon."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from results import HERE, printed, seconds_per_epoch, trainings

TARGET = HERE.parent / "_mnist-methods.md"
MARKS = (50, 70, 80, 90)


def mean_and_deviation(values: Sequence[float], digits: int = 1) -> str:
    """The mean ± the sample deviation, without it for one value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def epochs_to(mark: float, curve: Sequence[dict[str, float]]) -> float:
    """The first epoch of a curve that ends at least ``mark`` percent robust; infinite: none does."""
    return next((point["epoch"] for point in curve if point["curve_robust"] >= mark), math.inf)


def time_to(mark: float, method: dict[str, Any]) -> str:
    """The median seed's epochs to the mark, in seconds."""
    epochs = statistics.median_low([epochs_to(mark, seed["curve"]) for seed in method["seeds"].values()])
    return "–" if epochs == math.inf else f"{epochs * seconds_per_epoch(method):.0f} s"


def final_table(methods: dict[str, Any]) -> list[str]:
    """Accuracies and times at the end of training, and times to the marks."""
    marks = " | ".join(f"to {mark} %" for mark in MARKS)
    lines = [f"| | seeds | clean % | PGD-40 % | training | {marks} |", "|---|---|---|---|---|" + "---|" * len(MARKS)]
    for name, method in methods.items():
        seeds = list(method["seeds"].values())
        clean, robust = ([seed[what] for seed in seeds] for what in ("clean", "robust"))
        whole = len(seeds[0]["curve"]) * seconds_per_epoch(method)
        times = " | ".join(time_to(mark, method) for mark in MARKS)
        lines.append(
            f"| {printed(name)} | {len(seeds)} | {mean_and_deviation(clean)} | {mean_and_deviation(robust)} "
            f"| {whole:.0f} s | {times} |"
        )
    return lines


def attack_table(methods: dict[str, Any]) -> list[str]:
    """The first seed's final networks under stronger attacks."""
    titles = {"pgd-20": "PGD-20 %", "pgd-50-10": "PGD-50-10 %", "autoattack": "AutoAttack %"}
    attacked = {name: method["seeds"]["0"]["attacks"] for name, method in methods.items()}
    images = {attack: reports[attack]["images"] for reports in attacked.values() for attack in titles}
    heads = " | ".join(f"{title} ({images[attack]:,} images)" for attack, title in titles.items())
    lines = [f"| | {heads} |", "|---" * (1 + len(titles)) + "|"]
    for name, attacks in attacked.items():
        cells = " | ".join(f"{attacks[attack]['robust']:.1f}" for attack in titles)
        lines.append(f"| {printed(name)} | {cells} |")
    return lines


def final_text() -> str:
    return "\n".join(final_table(trainings()["methods"]))


def tables() -> str:
    result = trainings()
    machine = result["machine"]
    where = f"Measured on: {machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}."
    return "\n".join([final_text(), "", *attack_table(result["methods"]), "", where]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(tables())
