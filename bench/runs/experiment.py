# SPDX-License-Identifier: MIT
"""An experiment of many trainings, each measured when it is done: it may be stopped and goes on, in pieces, for days.

A cell is one training: a row (method and settings), a number of epochs and a seed. It has a folder of its own below
--runs. What was found goes into --json at once; what is there is not made again. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collect import ROOT, points
from printed import printed

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.cli import main as yopo
from yopo_ext.training.files import write_text_atomically

POINT = (
    "epoch", "seconds", "units", "units_total", "loss", "clean", "curve_robust", "gradient_cosine", "warning",
    "restarted",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A method of an experiment.

    Attributes:
        method: as on the command line.
        epochs: how many of them each budget pays.
        settings: options that are this row's own.
        of_budget: options beside them, of a budget each.
    """

    method: str
    epochs: Mapping[str, int]
    settings: str = ""
    of_budget: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What is trained, and how it is measured.

    Attributes:
        name: of its file in bench/results.
        recipe: `yopo train`'s options that all rows share.
        rows: by name.
        attacks: name -> options of `yopo evaluate`; the worst of an attack's lines counts.
        images: test images that the attacks are made on, of each class its share.
        weights: which of a run's weights are measured.
        seeds: of the trainings.
    """

    name: str
    recipe: str
    rows: Mapping[str, Row]
    attacks: Mapping[str, str]
    images: int
    weights: Sequence[str] = ("last",)
    seeds: Sequence[int] = (0, 1, 2)
    budgets: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys(budget for row in self.rows.values() for budget in row.epochs)
        object.__setattr__(self, "budgets", tuple(names))

    def training(self, row: Row, budget: str, seed: int, device: str = "cpu", extra: str = "") -> list[str]:
        """The command, but for the folders."""
        own = [*row.settings.split(), *row.of_budget.get(budget, "").split(), "--epochs", str(row.epochs[budget])]
        where = ["--seed", str(seed), "--device", device, *extra.split()]
        return ["train", "--method", row.method, *self.recipe.split(), *own, *where]

    def measuring(self, attack: str, weights: str, device: str = "cpu") -> list[str]:
        """Options of `yopo evaluate RUN`."""
        own = ["--limit", str(self.images), "--weights-of", weights, "--device", device, "--json"]
        return [*self.attacks[attack].split(), *own]


def run(experiment: Experiment) -> None:
    """The experiment's command."""
    options = _parser(experiment).parse_args()
    found = json.loads(options.json.read_text()) if options.json.is_file() else {"cells": []}
    found |= {"recipe": experiment.recipe, "images": experiment.images, "attacks": dict(experiment.attacks)}
    for seed in options.seeds:
        for budget in options.budgets:
            for name in options.rows:
                if budget in experiment.rows[name].epochs:
                    cell = _cell(experiment, name, budget, seed, options)
                    found["cells"] = [one for one in found["cells"] if not _same(one, cell)] + [cell]
                    write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


def _cell(experiment: Experiment, name: str, budget: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures, or reads what is there."""
    command = experiment.training(experiment.rows[name], budget, seed, options.device, options.extra)
    folder = options.runs / f"{budget}-{name}-{seed}"
    made = _made(folder, " ".join(["yopo", *command]), options.device)
    _train(folder, [*command, *([] if options.data_dir is None else ["--data-dir", options.data_dir])])
    return {
        "row": name,
        "budget": budget,
        "seed": seed,
        **made,
        "final": json.loads((folder / "summary.json").read_text()),
        "measured": _measured(experiment, folder, options),
        "curve": points(folder, POINT),
    }


def _made(folder: Path, command: str, device: str) -> dict[str, Any]:
    """The command and the machine that made the run in the folder, or are going to: kept beside it from its beginning.

    Raises:
        SystemExit: it is not known, or another command made it; where does not matter.
    """
    kept = folder.with_name(f"{folder.name}.made.json")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = {"command": command, "machine": describe_machine(device)}
        write_text_atomically(kept, json.dumps(made, indent=1) + "\n")
    elif not kept.is_file():
        raise SystemExit(f"{folder}: is there without {kept.name}, which says what made it")
    made = json.loads(kept.read_text())
    if _anywhere(made["command"]) != _anywhere(command):
        raise SystemExit(f"{folder}: was made by {made['command']!r}, expected {command!r}")
    return made


def _anywhere(command: str) -> str:
    return re.sub(r" --device \S+", "", command)


def _parser(experiment: Experiment) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with the data set's files")
    parser.add_argument("--budgets", nargs="+", choices=experiment.budgets, default=experiment.budgets)
    parser.add_argument("--seeds", type=int, nargs="+", default=experiment.seeds)
    parser.add_argument("--rows", nargs="+", choices=experiment.rows, default=list(experiment.rows))
    parser.add_argument("--attacks", nargs="+", choices=experiment.attacks, default=list(experiment.attacks))
    parser.add_argument("--weights", nargs="+", choices=experiment.weights, default=experiment.weights)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--extra", default="", help="more options of `yopo train`")
    parser.add_argument("--runs", type=Path, default=Path("runs") / experiment.name)
    parser.add_argument("--json", type=Path, default=ROOT / "bench/results" / f"{experiment.name}.json")
    return parser


def _train(folder: Path, command: list[str]) -> None:
    """Trains in the folder, goes on there, or leaves what is finished alone."""
    if (folder / "summary.json").is_file():
        return
    started = (folder / "config.json").is_file()
    if status := yopo(["train", "--resume", str(folder)] if started else [*command, "--out", str(folder)]):
        raise SystemExit(status)


def _measured(experiment: Experiment, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Weights -> attack -> clean and robust accuracy in percent: of those asked for, and of those that are there."""
    found: dict[str, Any] = {}
    for weights in experiment.weights:
        for attack in experiment.attacks:
            kept = folder / f"{weights}-{attack}.json"
            if attack in options.attacks and weights in options.weights and not kept.is_file():
                measuring = experiment.measuring(attack, weights, options.device)
                write_text_atomically(kept, printed(["evaluate", str(folder), *measuring]))
            if kept.is_file():
                report = json.loads(kept.read_text())
                found.setdefault(weights, {})[attack] = {"clean": report["clean"], "robust": report["worst"]}
    return found


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("row", "budget", "seed"))
