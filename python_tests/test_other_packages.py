# SPDX-License-Identifier: MIT
"""Another package adds a method, an objective, a data set and an event, each one file, and the command uses them."""

import json
import os
import subprocess
import sys

import pytest
from other_package import write_package

from yopo_ext.training import load_checkpoint

NOISE = '''
from dataclasses import dataclass

from yopo_ext.adversaries import Natural
from yopo_ext.adversaries.method import Method
from yopo_ext.options import check_options, option


@dataclass(frozen=True)
class Options:
    scale: float = option(1.0, "of the noise, in units of eps", least=0)

    def __post_init__(self):
        check_options(self)


class Noise(Natural):
    """Uniform noise instead of an attack."""

    def __init__(self, given):
        super().__init__(given.model, loss=given.objective)
        self.ball, self.generator, self.scale = given.ball, given.generator, given.options.scale

    def accumulate(self, x, y):
        noise = x.new_empty(x.shape).uniform_(-1, 1, generator=self.generator) * self.scale * self.ball.eps
        return super().accumulate(x + self.ball.feasible_set(x).project(noise), y)


METHOD = Method("noise", "Noise", "uniform noise", Noise, Options)
'''
BRIER = """
from dataclasses import dataclass

from torch.nn.functional import one_hot

from yopo_ext.objectives.objective import NamedObjective
from yopo_ext.options import check_options, option


@dataclass(frozen=True)
class Brier:
    sharpness: float = option(1.0, "of the softmax", above=0)

    needs_clean = False

    def __post_init__(self):
        check_options(self)

    def attack(self, outputs, y):
        probabilities = (self.sharpness * outputs).softmax(1)
        return (probabilities - one_hot(y, outputs.shape[1])).square().sum(1).mean()

    def train(self, outputs, y, clean=None):
        return self.attack(outputs, y)

    def predict(self, outputs):
        return outputs.argmax(1)


OBJECTIVE = NamedObjective("brier", "squared error of the probabilities", lambda options: options, Brier)
"""
STRIPES = '''
import torch

from yopo_ext.data import ImageSet
from yopo_ext.data.dataset import Source


def images(count, seed):
    """Bright rows or bright columns, on noise."""
    pixels = torch.randint(0, 60, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(count) % 2
    pixels[labels == 0, :, ::2] += 150
    pixels[labels == 1, :, :, ::2] += 150
    return ImageSet(pixels.to(torch.uint8), labels, 2)


SOURCE = Source(
    "stripes", "rows or columns", lambda data_dir: (images(200, 0), images(40, 1)),
    {"model": "digits-cnn", "eps": 0.05, "batch_size": 20, "lr": 0.05}, reads_files=False,
)
'''
LINES = """
from dataclasses import dataclass

from yopo_ext.options import check_options, option
from yopo_ext.training import Event, NamedEvent


@dataclass(frozen=True)
class Options:
    lines: str | None = option(None, "write a line an epoch into this file of the folder")

    def __post_init__(self):
        check_options(self)


class Lines(Event):
    name = "lines"

    def __init__(self, file):
        self.file, self.written = file, 0

    def on_epoch(self, trainer, record):
        self.written += 1
        with open(trainer.folder / self.file, "a") as file:
            print(record["epoch"], self.written, file=file)

    def state_dict(self):
        return {"written": self.written}

    def load_state_dict(self, state):
        self.written = state["written"]


EVENT = NamedEvent("lines", "a line an epoch", lambda options, parts: options.lines and Lines(options.lines), Options)
"""
DECLARED = {
    "yopo_ext.methods": ("noise", NOISE, "METHOD"),
    "yopo_ext.objectives": ("brier", BRIER, "OBJECTIVE"),
    "yopo_ext.datasets": ("stripes", STRIPES, "SOURCE"),
    "yopo_ext.events": ("lines", LINES, "EVENT"),
}


@pytest.fixture
def package(tmp_path):
    modules = {f"stripy_{name}": text for name, text, _ in DECLARED.values()}
    points = {group: {name: f"stripy_{name}:{value}"} for group, (name, _, value) in DECLARED.items()}
    return write_package(tmp_path / "site-packages", "stripy", modules, points)


SCRIPT = """
import sys
from yopo_ext.cli import main
for line in sys.stdin:
    print("$", line.strip(), flush=True)
    status = main(line.split())
    assert status == 0, status
"""


def carried_out(package, folder, *commands):
    """What each command printed, all in one process."""
    places = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input="\n".join(commands), cwd=folder, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [part.partition("\n")[2] for part in done.stdout.split("$ ")[1:]]


def test_one_file_each(package, tmp_path):
    train = (
        "train --dataset stripes --method noise --scale 0.5 --objective brier --sharpness 2 --lines lines.txt "
        "--epochs 3 --eval-steps 2 --curve-steps 1 --no-compare-natural --out run"
    )
    methods, objectives, datasets, events, _, _, report = carried_out(
        package, tmp_path, "list methods", "list objectives", "list datasets", "list events", train,
        "train --resume run --epochs 4", "evaluate run --device cpu --steps 2 --losses ce --json",
    )  # fmt: skip
    for name, listed in {"noise": methods, "brier": objectives, "stripes": datasets, "lines": events}.items():
        assert any(line.split()[0] == name for line in listed.splitlines())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["method"] == {"name": "noise", "scale": 0.5}
    assert config["objective"] == {"name": "brier", "sharpness": 2.0}
    assert (config["ball"]["eps"], config["events"]["lines"]) == (0.05, {"lines": "lines.txt"})
    assert (tmp_path / "run" / "lines.txt").read_text().split() == ["1", "1", "2", "2", "3", "3", "4", "4"]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["noise"]["clean"] > 95
    assert json.loads(report)["clean"] == summary["noise"]["clean"]
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.5 * losses[0] < 1.0  # Brier's is at most 2
    assert load_checkpoint(tmp_path / "run")["events"]["lines"] == {"written": 4}
