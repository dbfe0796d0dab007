# SPDX-License-Identifier: MIT
"""One preset of the robust speedrun: trials, a training of so many seconds, attacks (`robust_speedrun.sh` calls it).

Seconds are those of `yopo train`: of all epochs, from the first mini-batch on, without measuring. Recording the CUDA
graph and compiling out of the disk's cache are in them: a trial of whole epochs says how long that takes. The one
before it, of few steps, says how long compiling takes without the cache, which is not in them. A first one runs
eagerly: a speed that comes to another loss from the same start is not taken. Every stage is a process of its own; what
is known is written after each. Where an earlier run on this machine had the same shapes, --paces takes its plan.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.util import find_spec
from itertools import count, islice, takewhile
from operator import mul
from pathlib import Path
from time import perf_counter
from typing import Any

from collect import points, settings
from small_first import SHARES, small_first

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.training import make_config, read_run
from yopo_ext.training.files import write_text_atomically

#: The first that works is taken.
SPEEDS = (["--compile", "--cuda-graph"], ["--cuda-graph"], ["--compile"], [])
TRIAL_EPOCHS, TRIAL_STEPS = 3, 20
#: A schedule of so few steps would reach its peak before the network can stand it.
TRIAL_LR = 0.02
#: How far a trial's loss may be from the eager one's, of that: half precision and chance are far below.
SAME_LOSS = 0.05
#: Share of the budget that is planned: a run is not as even as its trial. One of 58.8 s took 61.6.
TRUST = 0.94
TRAIN_IMAGES, TEST_IMAGES = 50_000, 1000
#: name -> options of `yopo evaluate`
ATTACKS = {
    "pgd-50-10": "--attacks pgd --losses ce --steps 50 --restarts 10 --alpha 2/255",
    "autoattack": "--attacks autoattack",
}
#: What a dry run changes: the network, and all sizes.
DRY = "--model wrn-10-1 --batch-size 8 --device cpu"
DRY_TRAIN, DRY_TEST, DRY_STEPS, DRY_PLANS = 40, 8, 2, 2
DRY_ATTACKS = {
    "pgd-50-10": "--attacks pgd --losses ce --steps 3 --restarts 2 --alpha 2/255",
    "autoattack": "--attacks autoattack",
}
TARGET = {"pgd-50-10": 50.0, "autoattack": 46.0, "seconds": 60.0}
#: What the trials tell, and what it is for.
PLAN = ("speed", "failed_speeds", "pace_without_cache", "pace", "epochs", "epochs_at_sizes")
POINT = ("epoch", "seconds", "units", "units_total", "lr", "loss", "clean", "fgsm", "curve_robust", "warning")


@dataclass(frozen=True)
class Pace:
    """Seconds: of what comes before the steps are as fast as they get, and of a step then, at each size of image."""

    start: float
    steps: Sequence[float]

    def seconds(self, epochs: Sequence[int], steps: int) -> float:
        """Of so many epochs at each size, of so many steps each."""
        return self.start + steps * sum(map(mul, epochs, self.steps))


@dataclass(frozen=True)
class Trial:
    """What a trial tells: its pace, and the last epoch's loss."""

    pace: Pace
    loss: float


class Speedrun:
    """One preset's.

    Args:
        options: of the command line.
        folder: of the runs.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.log = options.out / f"robust-{options.preset}.log"
        self.log.write_text("")
        dry = options.dry_run
        self.train_images, self.test_images = (DRY_TRAIN, DRY_TEST) if dry else (TRAIN_IMAGES, TEST_IMAGES)
        self.settings = [*(DRY.split() if dry else ["--device", "cuda"]), *options.extra.split()]
        self.speeds = [[]] if dry else SPEEDS
        self.attacks = DRY_ATTACKS if dry else ATTACKS
        self.batch_size = 8 if dry else make_config(options.preset)["batch_size"]
        self.shares = SHARES if options.small_first else (1,)

    def yopo(self, *arguments: str) -> str:
        """What a command prints. Raises `CalledProcessError` where it fails; its words are in the log."""
        command = [sys.executable, "-m", "yopo_ext", *arguments]
        with self.log.open("a") as log:
            log.write(f"$ yopo {' '.join(arguments)}\n")
            log.flush()
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True)
            log.write(f"{done.stdout}\n")
        done.check_returncode()
        return done.stdout

    def train(self, name: str, *arguments: str) -> list[dict[str, Any]]:
        """Trains the preset into the folder ``name``; the points of its log."""
        given = ["--data-dir", str(self.options.data_dir), *self.settings, *arguments]
        self.yopo("train", "--preset", self.options.preset, *given, "--out", str(self.folder / name))
        return points(self.folder / name, POINT)

    def trial(self, name: str, speed: list[str], steps: int) -> Trial:
        """A few epochs of so many steps, at each size."""
        epochs = [TRIAL_EPOCHS] * len(self.shares)
        few = f"--limit-train {steps * self.batch_size} --curve-every {sum(epochs)} --curve-images 8 --curve-steps 1 "
        few += f"--limit-eval 8 --eval-steps 1 --lr {TRIAL_LR}"
        lines = self.train(name, *speed, *few.split(), *of_epochs(epochs))
        seconds = [line["seconds"] for line in lines]
        # The last epoch at each size is as fast as they get.
        ends = range(TRIAL_EPOCHS - 1, len(seconds), TRIAL_EPOCHS)
        pace = [(seconds[end] - seconds[end - 1]) / steps for end in ends]
        return Trial(Pace(max(0.0, seconds[-1] - TRIAL_EPOCHS * steps * sum(pace)), pace), lines[-1]["loss"])

    def planned(self, pace: Pace, steps: int) -> list[int]:
        """The epochs at each size that the budget pays, in the proportion of `SHARES` where there are several.

        Raises:
            SystemExit: it does not pay the fewest.
        """

        def plan(whole: int) -> list[int]:
            return [max(1, round(whole * share / self.shares[-1])) for share in self.shares]

        paid = takewhile(lambda epochs: pace.seconds(epochs, steps) <= TRUST * self.options.budget, map(plan, count(1)))
        found = list(islice(paid, DRY_PLANS if self.options.dry_run else None))
        if not found:
            raise SystemExit(f"--budget: got {self.options.budget:g} s, expected at least those of the fewest epochs, "
                             f"{pace.seconds(plan(1), steps):.1f}")  # fmt: skip
        return found[-1]

    def paces(self, steps: int) -> tuple[list[str], Pace, Pace, dict[str, str]]:
        """The speed that works, its paces without and with the disk's cache, and what was wrong before.

        The latter is that of whole epochs of so many steps, of which each has something to do at its end too.
        """
        few = DRY_STEPS if self.options.dry_run else TRIAL_STEPS
        failures: dict[str, str] = {}
        try:
            eager = self.trial("eager", [], few)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"training fails with status {error.returncode}: see {self.log}") from error
        for number, speed in enumerate(self.speeds):
            try:
                cold = self.trial(f"cold-{number}", speed, few) if speed else eager
                if not (why := departs(cold, eager)):
                    return speed, cold.pace, self.trial(f"warm-{number}", speed, steps).pace, failures
            except subprocess.CalledProcessError as error:
                why = f"status {error.returncode}"
            failures[" ".join(speed)] = why
        raise SystemExit(f"no training works ({failures}): see {self.log}")

    def plan(self, steps: int) -> dict[str, Any]:
        """By trials, or an earlier run's: the speed, its paces and the epochs that the budget pays."""
        if self.options.paces is not None:
            return self.earlier(self.options.paces)
        speed, cold, warm, failures = self.paces(steps)
        epochs = self.planned(warm, steps)
        return dict(zip(PLAN, (speed, failures, asdict(cold), asdict(warm), sum(epochs), epochs), strict=True))

    def earlier(self, file: Path) -> dict[str, Any]:
        """The plan of a run that is in this file.

        Raises:
            SystemExit: it was another one's: preset, budget, machine or number of sizes.
        """
        kept = json.loads(file.read_text())
        ours = {**self.provenance(), "sizes": len(self.shares)}
        theirs = {**kept, "sizes": len(kept["epochs_at_sizes"])}
        for name in ("preset", "budget_s", "machine", "dry_run", "sizes"):
            if theirs[name] != ours[name]:
                raise SystemExit(f"--paces: {file} is of {name} {theirs[name]!r}, expected {ours[name]!r}")
        return {**{name: kept[name] for name in PLAN}, "paces_of": file.name}

    def provenance(self) -> dict[str, Any]:
        """What is run where."""
        options = self.options
        return {
            "date": str(date.today()), "machine": describe_machine("cpu" if options.dry_run else "cuda"),
            "preset": options.preset, "dry_run": options.dry_run, "budget_s": options.budget, "target": TARGET,
        }  # fmt: skip

    def run(self) -> None:
        """All stages; writes after each."""
        options, steps = self.options, self.train_images // self.batch_size
        found = self.provenance() | self.plan(steps)
        speed, epochs = found["speed"], found["epochs_at_sizes"]
        self.write(found)
        log = self.train("run", *speed, *of_epochs(epochs), *self.measuring())
        seconds = log[-1]["seconds"]
        found |= {
            "settings": settings(read_run(self.folder / "run" / "config.json")),
            "seconds": seconds,
            "within_budget": seconds <= options.budget,
            "first_epoch_seconds": log[0]["seconds"],
            "train_images": self.train_images, "test_images": self.test_images,
            "curve": log,
            "attacks": {},
        }  # fmt: skip
        self.write(found)
        for name in options.attacks:
            found["attacks"][name] = self.attack(name)
            self.write(found)
            reached = f"{name} {found['attacks'][name]}"
            print(f"{options.preset}: {sum(epochs)} epochs, {seconds:.1f} s, {reached}", flush=True)

    def measuring(self) -> list[str]:
        """Options of the run: a point of the curve after every epoch, on half of the test images."""
        curve = max(1, self.test_images // 2)
        given = f"--curve-every 1 --curve-images {curve} --limit-eval {self.test_images} --eval-steps 10"
        return [*given.split(), *(["--limit-train", str(self.train_images)] if self.options.dry_run else [])]

    def attack(self, name: str) -> dict[str, float]:
        """Accuracies in percent of what the run measures, its average, and the seconds that took."""
        started = perf_counter()
        place = ["--limit", str(self.test_images), "--device", "cpu" if self.options.dry_run else "cuda", "--json"]
        report = json.loads(self.yopo("evaluate", str(self.folder / "run"), *self.attacks[name].split(), *place))
        seconds = round(perf_counter() - started, 1)
        return {"images": report["images"], "clean": report["clean"], "robust": report["worst"], "seconds": seconds}

    def write(self, found: dict[str, Any]) -> None:
        """Into the JSON beside the log."""
        write_text_atomically(self.log.with_suffix(".json"), json.dumps(found, indent=1) + "\n")


def departs(trial: Trial, eager: Trial) -> str:
    """What is wrong with a trial's loss beside the eager one's; nothing where they are the same."""
    same = abs(trial.loss - eager.loss) <= SAME_LOSS * eager.loss
    return "" if same else f"loss {trial.loss:.3f} in a trial, where it is {eager.loss:.3f} eagerly"


def of_epochs(epochs: Sequence[int]) -> list[str]:
    """Options of `yopo train`, of so many epochs at each size."""
    return ["--epochs", str(sum(epochs)), *(small_first(epochs).split() if len(epochs) > 1 else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--data-dir", type=Path, required=True, help="with CIFAR-10")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of training")
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--out", type=Path, default=Path("out/speedrun"), help="for the JSON and the log")
    parser.add_argument("--target", type=Path, default=Path("out/speedrun"), help="for the runs' folders")
    parser.add_argument("--extra", default="", help="more options of `yopo train`")
    parser.add_argument("--paces", type=Path, help="JSON of an earlier run of these shapes on this machine: no trials")
    parser.add_argument("--small-first", action="store_true", help="shrink the images of the first epochs")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with a tiny network and few images")
    options = parser.parse_args()
    if "autoattack" in options.attacks and find_spec("pyautoattack") is None:
        raise SystemExit("AutoAttack needs pyautoattack: install it, put a folder of it into PYTHONPATH, or leave it "
                         "out: ATTACKS=pgd-50-10")  # fmt: skip
    for folder in (options.out, options.target):
        folder.mkdir(parents=True, exist_ok=True)
    Speedrun(options, Path(tempfile.mkdtemp(prefix=f"{options.preset}-", dir=options.target))).run()


if __name__ == "__main__":
    main()
