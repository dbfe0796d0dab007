# SPDX-License-Identifier: MIT
"""An attack of another package: one new file and an entry point, then `yopo evaluate --attacks corners`."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from other_package import write_package

from yopo_ext.cli import main
from yopo_ext.evaluation import (
    ATTACKS,
    Attack,
    Outcome,
    adversarial_examples,
    measure,
    outcomes,
    sweep,
    transfer_matrix,
)
from yopo_ext.models import build_model

FILE = '''
from dataclasses import dataclass

import torch

from yopo_ext.evaluation import NamedAttack, Outcome
from yopo_ext.evaluation.draws import uniform
from yopo_ext.options import check_options, option


@dataclass(frozen=True)
class Corners:
    """Random corners of the ball: what an attack must be better than."""

    eps: float
    tries: int = 3
    norm: str = "linf"
    seed: int = 0

    @property
    def label(self):
        return f"corners x {self.tries}"

    def require_classes(self, classes):
        pass

    def run(self, model, images, correct):
        survived, eta = correct.clone(), torch.zeros_like(images.x)
        for number in range(self.tries):
            draws = uniform(images.keys(self.seed, number), images.x[0].numel()).reshape(images.x.shape)
            corner = self.eps * torch.where(draws < 0.5, -1.0, 1.0)
            corner = (images.x + corner).clamp(0, 1) - images.x
            eta = torch.where(survived[:, None, None, None], corner, eta)
            survived &= images.right(model(images.x + corner))
        return Outcome(survived, eta=eta)


@dataclass(frozen=True)
class CornerOptions:
    tries: int = option(3, "corners to try", least=1)
    loud: bool = option(False, "unused, of another type than most")

    def __post_init__(self):
        check_options(self)


ATTACK = NamedAttack(
    "corners", "random corners of the ball", lambda budget, options: [Corners(budget.eps, options.tries, budget.norm)],
    CornerOptions,
)
'''


@pytest.fixture
def site(tmp_path):
    points = {"yopo_ext.attacks": {"corners": "corners_attack:ATTACK"}}
    return write_package(tmp_path / "site", "corners", {"corners_attack": FILE}, points)


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    monkeypatch.setattr(ATTACKS, "_entries", None)
    yield importlib.import_module("corners_attack")
    sys.modules.pop("corners_attack")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    torch.save(build_model("digits-cnn", in_channels=1, num_classes=10).state_dict(), tmp_path / "w.pt")
    return ["--weights", str(tmp_path / "w.pt"), "--model", "digits-cnn", "--dataset", "digits", "--limit", "20"]


def test_from_the_command_line_in_a_process_of_its_own(site, weights):
    command = [sys.executable, "-m", "yopo_ext", "evaluate", *weights, "--eps", "0.3", "--json"]
    command += ["--attacks", "fgsm", "corners", "--losses", "ce", "--tries", "2"]
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(site), str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert list(found["robust"]) == ["FGSM, ce", "corners x 2"]
    assert found["attacks"]["corners x 2"] == {"eps": 0.3, "tries": 2, "norm": "linf", "seed": 0}


def test_its_options_are_the_commands(installed, weights, capsys):
    assert main(["evaluate", *weights, "--eps", "0.3", "--attacks", "corners", "--tries", "0"]) == 2
    assert "tries: got 0, expected a whole number of at least 1" in capsys.readouterr().err
    assert main(["evaluate", *weights, "--eps", "0.3", "--tries", "2"]) == 2
    assert "--tries: goes with --attacks corners, which is not asked for" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "--tries N" in printed
    assert "--loud, --no-loud" in printed
    assert "corners: random corners" in " ".join(printed.split())


def test_all_that_takes_attacks_takes_it(installed, model, images):
    corners = installed.Corners(0.2)
    assert isinstance(corners, Attack)
    report = measure(model, images, [corners], check_normalisation=False)
    assert report.robust["corners x 3"] < report.clean
    assert "corners x 3" in report.to_table()
    curves = sweep(model, images, [corners], "eps", [0.0, 0.2]).curves
    assert curves == {"corners x 3": (report.clean, report.worst)}
    matrix = transfer_matrix({"a": model, "b": model}, images, corners)
    assert matrix.accuracy[0][0] <= report.worst
    assert json.loads(json.dumps(matrix.to_dict()))["attack"]["tries"] == 3
    assert adversarial_examples(model, images, corners).eta.abs().max() <= 0.2 + 1e-6
    whole = outcomes(model, images, [corners]).attacked[0].survived
    assert torch.equal(outcomes(model, images, [corners], batch_size=7).attacked[0].survived, whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            FILE.replace("tries: int = option(3,", "steps: float = option(3.0,"),
            "its option steps has another type than",
        ),
        (FILE.replace("tries: int = option(3,", "limit: int = option(3,"), "--limit is the command's own"),
        (
            FILE.replace('NamedAttack(\n    "corners"', 'NamedAttack(\n    "pgd"'),
            "attack 'pgd': declared a second time",
        ),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    ],
)
def test_what_does_not_fit_is_one_line(site, monkeypatch, capsys, text, message):
    (site / "corners_attack.py").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    monkeypatch.setattr(ATTACKS, "_entries", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "runs/X", "--attacks", "fgsm"])
    sys.modules.pop("corners_attack", None)
    err = capsys.readouterr().err
    assert (stopped.value.code, err.count("\n")) == (2, 1)
    assert message in err


class Cheats:
    label, norm, eps = "cheats", "linf", 0.1

    def __init__(self, outcome):
        self.outcome = outcome

    def require_classes(self, classes):
        pass

    def run(self, model, images, correct):
        return self.outcome(images, correct)


@pytest.mark.parametrize(
    ("outcome", "error", "message"),
    [
        (lambda images, correct: Outcome(correct.float()), TypeError, "survived is torch.float32"),
        (lambda images, correct: Outcome(correct[1:]), TypeError, r"survived is torch.bool \(89,\), expected"),
        (lambda images, correct: Outcome(~correct), RuntimeError, "True for images that the network is wrong on"),
        (lambda images, correct: Outcome(correct, ~correct), RuntimeError, "reached is True for images"),
        (
            lambda images, correct: Outcome(correct, eta=0.3 * torch.ones_like(images.x)), RuntimeError,
            "cheats returned a perturbation of size 0.3 and images from .*, expected at most 0.1",
        ),
        (
            lambda images, correct: Outcome(correct, eta=0.05 * torch.ones_like(images.x)), RuntimeError,
            r"images from .* to 1.05, expected at most 0.1 and \[0, 1\]",
        ),
        (
            lambda images, correct: Outcome(correct, eta=torch.full_like(images.x, torch.nan)), RuntimeError,
            "size nan",
        ),
    ],
)  # fmt: skip
def test_an_attack_that_returns_what_it_may_not_is_named(model, images, outcome, error, message):
    with pytest.raises(error, match=message):
        measure(model, images, [Cheats(outcome)], check_normalisation=False)
