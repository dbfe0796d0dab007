# SPDX-License-Identifier: MIT
"""Max-Mahalanobis training against softmax cross entropy: does the gain under PGD outlast AutoAttack?

    python bench/runs/max_mahalanobis.py --out DIR --data-dir DIR [--only mnist|digits] [--json FILE]

Short trainings, natural and adversarial, that differ in the objective alone: SmallCNN on a part of MNIST, the digits'
network on all of the digits; Adam, because the losses differ in scale. Each network is then measured by PGD on cross
entropy, on the margin and on its own loss (untargeted, and towards every other class) and by AutoAttack, on the same
images. Runs lie in --out and are not trained twice; FILE is written after each network, and what is in it is not
measured again. Needs pip install 'yopo-ext[autoattack]'. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import AutoAttack, PGDAttack, feature_distances, measure
from yopo_ext.training import Run, make_config, open_run
from yopo_ext.training.files import write_text_atomically


@dataclass(frozen=True)
class Row:
    """A training: settings beside those of its `Part`."""

    method: str
    objective: str
    head: str | None = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.method, self.objective, self.head)))


@dataclass(frozen=True)
class Part:
    """Trainings on the same images; images: to measure on."""

    settings: dict[str, Any]
    rows: tuple[Row, ...]
    images: int


COMMAND = "python bench/runs/max_mahalanobis.py --out DIR --data-dir DIR --json FILE"
NOTE = "seed 0, beside other jobs, so no times"
#: of PGD where networks are measured
STEPS = 20
OBJECTIVES = (("cross-entropy", None), ("mmc", None), ("mmc", "random-centres"), ("mmlda", None))
ADAM = {"optimizer": "adam", "lr": 0.001, "batch_size": 128, "eval_steps": 10, "curve_steps": 5, "device": "cpu"}
PARTS = {
    "mnist": Part(
        {**ADAM, "dataset": "mnist", "limit_train": 4000, "limit_eval": 200, "curve_images": 200, "eps": 0.2,
         "epochs": 8, "milestones": (6,)},
        tuple(Row("natural", *one) for one in OBJECTIVES),
        50,
    ),
    "digits": Part(
        {**ADAM, "dataset": "digits", "epochs": 16, "milestones": (12,)},
        tuple(Row(method, one) for method in ("natural", "yopo-3-5", "pgd-5") for one in ("cross-entropy", "mmc")),
        100,
    ),
}  # fmt: skip


def trained(part: Part, row: Row, folder: Path, data_dir: Path | None) -> None:
    """The run in its folder; goes on where it was interrupted."""
    if (folder / "done").is_file():
        return
    head = {} if row.head is None else {"head": row.head}
    names = {} if data_dir is None or part.settings["dataset"] == "digits" else {"data_dir": str(data_dir)}
    own = {} if row.objective == "cross-entropy" else {"feature_dim": 200}  # SmallCNN's last features are as many
    config = make_config(**part.settings, **head, **names, **own, method=row.method, objective=row.objective)
    run = Run(config, folder)
    if (folder / "last.pt").is_file():
        run.resume()
    run.fit()
    write_text_atomically(folder / "done", "")
    print(row.name, run.trainer.log[-1], flush=True)


def measured(part: Part, folder: Path) -> dict[str, Any]:
    """Accuracies in percent, and how far features are from their centres."""
    subject = open_run(folder, limit=part.images)
    eps, images = subject.eps, subject.images
    pgd = {loss: PGDAttack(eps, steps=STEPS, loss=loss) for loss in ("ce", "margin", "objective")}
    attacks = [*pgd.values(), PGDAttack(eps, steps=STEPS, loss="objective", targets="all"), AutoAttack(eps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # AutoAttack's package deprecates what it calls itself
        found = measure(subject.model, images, attacks, objective=subject.objective, check_normalisation=False)
    distances = feature_distances(subject.model, images, pgd["ce"], objective=subject.objective)
    return {
        "eps": eps, "images": found.images, "clean": found.clean, "robust": found.robust, "worst": found.worst,
        "features": distances.to_dict(),
        "epochs": [
            {name: round(record[name], 3) for name in ("epoch", "loss", "clean", "curve_robust")}
            for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if "clean" in record
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data-dir", type=Path, help="with MNIST")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if options.json is not None and options.json.is_file():
        found = json.loads(options.json.read_text())
    found |= {"machine": describe_machine("cpu"), "note": NOTE, "command": COMMAND}
    for name, part in PARTS.items():
        if options.only not in (None, name):
            continue
        settings = {key: value for key, value in asdict(part).items() if key != "rows"}
        networks = found.setdefault(name, {"settings": settings, "networks": {}})["networks"]
        for row in part.rows:
            folder = options.out / name / row.name
            trained(part, row, folder, options.data_dir)
            if row.name not in networks:
                networks[row.name] = measured(part, folder)
            print(row.name, networks[row.name]["clean"], networks[row.name]["robust"], flush=True)
            if options.json is not None:
                write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
