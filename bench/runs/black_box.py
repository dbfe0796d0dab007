# SPDX-License-Identifier: MIT
"""SPSA and RayS beside PGD and AutoAttack on runs of `yopo train`, their strength curves and decision boundaries.

    python bench/runs/black_box.py NAME=RUN ... [--curves NAME=RUN ...] --data-dir DIR [--limit N] [--json FILE]

Of those behind --curves it takes the strength curve alone. Writes FILE after each network and keeps what is there of
others, so that an interrupted one goes on. The distances of RayS give its accuracy at every radius, beside a sweep of
PGD over the same images. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import (
    Attack,
    AutoAttack,
    PGDAttack,
    RaySAttack,
    SPSAAttack,
    cross_section,
    outcomes,
    sweep,
)
from yopo_ext.evaluation.accuracy import percent
from yopo_ext.evaluation.black_box import count_queries, mean_distance
from yopo_ext.evaluation.report import settings_of
from yopo_ext.training import open_run
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.runs.subjects import Subject

RADII = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)


def attacks(eps: float) -> dict[str, Attack]:
    """A cut: SPSA takes fewer steps, longer ones, than on CIFAR-10, from fewer directions; RayS fewer queries."""
    return {
        "PGD-40": PGDAttack(eps, steps=40),
        "PGD-20 x 3 restarts, margin": PGDAttack(eps, steps=20, restarts=3, loss="margin"),
        "SPSA": SPSAAttack(eps, steps=40, directions=32, alpha=0.03),
        "RayS": RaySAttack(eps, queries=3_000),
        "AutoAttack": AutoAttack(eps),
    }


def measured(subject: Subject) -> dict:
    """All figures of one network."""
    named = attacks(float(subject.eps))
    found = outcomes(subject.model, subject.images, list(named.values()))
    by_attack = {}
    for (name, attack), outcome in zip(named.items(), found.attacked, strict=True):
        one = {"robust": percent(outcome.survived), "settings": settings_of(attack)}
        if outcome.queries is not None:
            one["queries"] = asdict(count_queries(outcome.queries, found.correct, outcome.survived))
        if outcome.distance is not None:
            one["distance"] = asdict(mean_distance(outcome.distance))
            one["distances"] = sorted(round(value, 5) for value in outcome.distance.tolist())
        by_attack[name] = one
        print(name, one["robust"], one.get("queries"), one.get("distance"), flush=True)
    section = cross_section(subject.model, subject.images, named["PGD-40"], count=50).to_dict()
    section["accuracy"] = [[round(value) for value in row] for row in section["accuracy"]]
    return {"clean": percent(found.correct), "attacks": by_attack, "cross_section": section}


def strength_curve(subject: Subject) -> dict:
    """Accuracy under PGD-40 over radii, its steps of 2.5 eps / 40."""
    attack = PGDAttack(float(subject.eps), steps=40)
    return {"sweep": sweep(subject.model, subject.images, [attack], "eps", RADII).to_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    parser.add_argument("--curves", nargs="+", default=[], metavar="NAME=RUN")
    parser.add_argument("--data-dir")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--note", default="", help="of the machine: was it busy?")
    parser.add_argument("--json", type=Path, default=Path("bench/results/black-box.json"))
    options = parser.parse_args()
    found = {"machine": {}, "note": options.note, "command": "", "networks": {}}
    if options.json.is_file():
        found = json.loads(options.json.read_text(encoding="utf-8"))
    for word in (*options.runs, *options.curves):
        name, _, run = word.partition("=")
        if name in found["networks"]:
            continue
        subject = open_run(Path(run), data_dir=options.data_dir, limit=options.limit)
        config = json.loads((Path(run) / "config.json").read_text(encoding="utf-8"))
        config["data"]["data_dir"], config["host"] = None, {}  # of the machine, not of the network
        figures = strength_curve(subject) | (measured(subject) if word in options.runs else {})
        found["networks"][name] = {
            "network": subject.name, "images": len(subject.images), "eps": subject.eps, **figures,
            "config": config,
        }  # fmt: skip
        found |= {"machine": describe_machine("cpu"), "note": options.note, "command": " ".join(sys.argv)}
        write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
