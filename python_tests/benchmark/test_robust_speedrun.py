# SPDX-License-Identifier: MIT
"""bench/runs/robust_speedrun.py: valid commands, epochs in the budget; a speed that fails or errs is not taken."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import ClassVar

import pytest

from yopo_ext.cli import build_parser
from yopo_ext.cli.settings import given_settings
from yopo_ext.training import make_config

RUNS = Path(__file__).resolve().parents[2] / "bench" / "runs"
START, STEP, EPOCH_END = 4.0, 0.01, 0.12

pytestmark = pytest.mark.skipif(not RUNS.exists(), reason="not in a source tree")


@pytest.fixture
def played(tmp_path, monkeypatch):
    """The script on a played GPU: a step takes `STEP` seconds, the first speed does not work, or learns less."""
    monkeypatch.setattr(sys, "path", [str(RUNS), *sys.path])
    import robust_speedrun

    class Played(robust_speedrun.Speedrun):
        calls: ClassVar[list] = []

        def yopo(self, *arguments):
            options = build_parser().parse_args(list(arguments))
            self.calls.append(options)
            if arguments[0] == "evaluate":
                return json.dumps({"images": options.limit, "clean": 80.0, "worst": 51.0})
            config = make_config(options.preset, **given_settings(options))
            both = config["compile"] and config["cuda_graph"]
            if both and first_loss is None:
                raise subprocess.CalledProcessError(1, "yopo")
            config.write(options.out / "config.json")
            steps = (config["limit_train"] or 50_000) // config["batch_size"]
            sizes = [size for size, count in zip(config["progressive_sizes"], config["progressive_epochs"], strict=True)
                     for _ in range(count)]  # fmt: skip
            sizes += [32] * (config["epochs"] - len(sizes))
            paid = accumulate(EPOCH_END + steps * STEP * (size / 32) ** 2 for size in sizes)
            loss = first_loss if both else 1.0
            lines = [{"epoch": epoch, "seconds": START + seconds, "loss": loss, "lr": 0.1, "spans": {}}
                     for epoch, seconds in enumerate(paid, 1)]  # fmt: skip
            (options.out / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
            return ""

    monkeypatch.setattr(robust_speedrun, "describe_machine", lambda device: {"device": device})

    first_loss = None

    def run(loss_of_the_first=None, **changes):
        nonlocal first_loss
        first_loss = loss_of_the_first
        given = {"preset": "cifar10-speedrun", "data_dir": tmp_path, "budget": 60.0, "out": tmp_path, "dry_run": False,
                 "small_first": False, "paces": None, "extra": "--method fast",
                 "attacks": list(robust_speedrun.ATTACKS)}  # fmt: skip
        for name in ("eager", "cold-0", "cold-1", "warm-0", "warm-1", "run"):
            (tmp_path / "runs" / name).mkdir(parents=True, exist_ok=True)
        Played.calls.clear()
        Played(argparse.Namespace(**given | changes), tmp_path / "runs").run()
        return json.loads((tmp_path / "robust-cifar10-speedrun.json").read_text()), Played.calls

    return run


def test_a_run_fits_its_budget(played):
    found, calls = played()
    an_epoch = 195 * STEP + EPOCH_END
    assert (found["pace"]["start"], found["pace"]["steps"]) == (pytest.approx(START), pytest.approx([an_epoch / 195]))
    assert found["epochs"] == int((0.94 * 60 - START) / an_epoch) == len(found["curve"])
    assert found["seconds"] == pytest.approx(START + found["epochs"] * an_epoch)
    assert (found["within_budget"], found["speed"]) == (True, ["--cuda-graph"])
    assert found["failed_speeds"] == {"--compile --cuda-graph": "status 1"}
    assert found["settings"]["method"] == "fast"
    assert {name: one["robust"] for name, one in found["attacks"].items()} == {"pgd-50-10": 51.0, "autoattack": 51.0}
    pgd, autoattack = calls[-2:]
    assert (pgd.steps, pgd.restarts, pgd.limit, autoattack.attacks) == (50, 10, 1000, ["autoattack"])


@pytest.mark.parametrize(
    ("loss", "speed", "failed"),
    [
        (1.04, ["--compile", "--cuda-graph"], {}),
        (1.2, ["--cuda-graph"], {"--compile --cuda-graph": "loss 1.200 in a trial, where it is 1.000 eagerly"}),
        (math.nan, ["--cuda-graph"], {"--compile --cuda-graph": "loss nan in a trial, where it is 1.000 eagerly"}),
    ],
)
def test_a_speed_that_learns_something_else_is_not_taken(played, loss, speed, failed):
    found, _ = played(loss)
    assert (found["speed"], found["failed_speeds"]) == (speed, failed)


def test_small_images_are_paid_at_their_own_pace(played):
    found, _ = played(small_first=True)
    an_epoch = [195 * STEP * (size / 32) ** 2 + EPOCH_END for size in (16, 24, 32)]
    assert found["pace"]["steps"] == pytest.approx([seconds / 195 for seconds in an_epoch])
    small, middle, whole = found["epochs_at_sizes"]
    assert (small, middle) == (round(5 * whole / 3), whole)
    assert found["settings"]["progressive_epochs"] == [small, middle]
    assert found["seconds"] == pytest.approx(START + sum(map(mul, an_epoch, (small, middle, whole))))
    more = START + sum(map(mul, an_epoch, (round(5 * (whole + 1) / 3), middle + 1, whole + 1)))
    assert found["seconds"] <= 0.94 * 60 < more


def test_a_budget_below_an_epoch_is_refused(played):
    with pytest.raises(SystemExit, match=r"--budget: got 5 s, expected at least those of the fewest epochs, 6\.1"):
        played(budget=5.0)


def test_the_plan_of_an_earlier_run_needs_no_trials(played, tmp_path):
    found, _ = played(small_first=True)
    paces = tmp_path / "earlier.json"
    paces.write_text(json.dumps(found))
    again, calls = played(small_first=True, paces=paces, extra="--method fast --lr 0.3")
    assert [call.command for call in calls] == ["train", "evaluate", "evaluate"]
    assert (again["epochs_at_sizes"], again["speed"]) == (found["epochs_at_sizes"], found["speed"])
    assert (again["settings"]["lr"], again["paces_of"]) == (0.3, "earlier.json")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"budget": 30.0}, r"is of budget_s 60\.0, expected 30\.0"),
        ({"preset": "cifar10-speedrun-small"}, "is of preset 'cifar10-speedrun', expected 'cifar10-speedrun-small'"),
        ({"small_first": True}, "is of sizes 1, expected 3"),
    ],
)
def test_the_plan_of_another_run_is_refused(played, tmp_path, changes, why):
    found, _ = played()
    paces = tmp_path / "earlier.json"
    paces.write_text(json.dumps(found))
    with pytest.raises(SystemExit, match=f"--paces: .*earlier.json {why}"):
        played(paces=paces, **changes)
