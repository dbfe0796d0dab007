# SPDX-License-Identifier: MIT
"""bench/results/front.json as rows: what each method of a budget cost and reached, over its seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from results import BENCH

FRONT = BENCH / "results" / "front.json"
#: Robust accuracy in percent below which a training has failed, whatever it is robust against.
FAILED = 5.0


def front() -> dict[str, Any]:
    return json.loads(FRONT.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Reached:
    """A method of a budget, over its seeds.

    Attributes:
        row, budget: which.
        cells: one a seed.
    """

    row: str
    budget: int
    cells: Sequence[dict[str, Any]]

    @property
    def units(self) -> float:
        """What an image cost over the whole training, in forward passes of the network, as counted."""
        return statistics.mean(cell["curve"][-1]["units_total"] for cell in self.cells)

    @property
    def epochs(self) -> int:
        return self.cells[0]["curve"][-1]["epoch"]

    @property
    def failures(self) -> int:
        """Seeds whose last weights resist hardly anything."""
        return sum(cell["measured"]["last"]["pgd-50"]["robust"] < FAILED for cell in self.cells)

    def accuracies(self, weights: str, attack: str, what: str = "robust") -> list[float]:
        """One a seed that it was measured on."""
        found = (cell["measured"].get(weights, {}).get(attack) for cell in self.cells)
        return [one[what] for one in found if one is not None]


def reached(document: dict[str, Any]) -> list[Reached]:
    """Of each budget each row, in the order of the file's cells."""
    keys = dict.fromkeys((int(cell["budget"]), cell["row"]) for cell in document["cells"])
    return [
        Reached(row, budget, [one for one in document["cells"] if (int(one["budget"]), one["row"]) == (budget, row)])
        for budget, row in sorted(keys, key=lambda key: key[0])
    ]


def best(rows: Sequence[Reached], weights: str, attack: str) -> Iterator[Reached]:
    """The Pareto front: those that no other one beats in both cost and accuracy."""
    measured = [row for row in rows if row.accuracies(weights, attack)]
    highest = float("-inf")
    for row in sorted(measured, key=lambda row: (row.units, -statistics.mean(row.accuracies(weights, attack)))):
        accuracy = statistics.mean(row.accuracies(weights, attack))
        if accuracy > highest:
            highest = accuracy
            yield row
