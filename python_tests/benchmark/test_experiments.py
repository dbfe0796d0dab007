# SPDX-License-Identifier: MIT
"""bench/runs/experiment.py: every cell's commands are valid, cells are made once, stopped runs go on."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from yopo_ext.cli import build_parser
from yopo_ext.cli.settings import given_settings
from yopo_ext.training import make_config

RUNS = Path(__file__).resolve().parents[2] / "bench" / "runs"
EXPERIMENTS = ("front", "free_first_layer", "mnist_full_length", "overfitting_answered", "what_n_buys")


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(RUNS))
    return importlib.import_module


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_can_be_trained_and_measured(scripts, name):
    experiment = scripts(name).EXPERIMENT
    for row in experiment.rows.values():
        for budget in row.epochs:
            config = make_config(**given_settings(build_parser().parse_args(experiment.training(row, budget, 3))))
            assert (config.loop.seed, config.loop.epochs) == (3, row.epochs[budget])
    for attack in experiment.attacks:
        for weights in experiment.weights:
            build_parser().parse_args(["evaluate", "RUN", *experiment.measuring(attack, weights)])


def test_a_budget_pays_as_many_epochs_as_come_nearest(scripts):
    rows = scripts("front").EXPERIMENT.rows
    assert [rows["FGSM-RS"].epochs[budget] for budget in ("30", "90")] == [6, 18]
    assert [rows["PGD-10"].epochs[budget] for budget in ("30", "90")] == [1, 4]


def test_cells_are_made_once_and_go_on(scripts, tmp_path, monkeypatch):
    module = scripts("experiment")
    tiny = "--dataset digits --limit-train 32 --limit-eval 20 --curve-images 8 --eval-steps 1 --ewa-decay 0.5"
    attacks = {"pgd-1": "--attacks clean pgd --steps 1", "fgsm": "--attacks clean fgsm"}
    rows = {"a": module.Row("fast", {"one": 1}), "b": module.Row("natural", {"one": 1, "two": 2})}
    weights = ("last", "average")
    experiment = module.Experiment("tiny", tiny, rows, attacks, images=20, weights=weights, seeds=(0,))
    calls = []
    monkeypatch.setattr(module, "yopo", lambda command, yopo=module.yopo: calls.append(command) or yopo(command))

    def run(*options: str) -> list[dict]:
        command = ["tiny", "--runs", str(tmp_path), "--json", str(tmp_path / "tiny.json")]
        monkeypatch.setattr(sys, "argv", [*command, *options])
        module.run(experiment)
        return json.loads((tmp_path / "tiny.json").read_text())["cells"]

    (first,) = run("--rows", "a", "--attacks", "fgsm", "--weights", "average")
    assert {weights: list(found) for weights, found in first["measured"].items()} == {"average": ["fgsm"]}
    assert [point["epoch"] for point in first["curve"]] == [1]
    cells = run()
    assert [(cell["row"], cell["budget"]) for cell in cells] == [("a", "one"), ("b", "one"), ("b", "two")]
    assert all(list(cell["measured"][one]) == ["pgd-1", "fgsm"] for cell in cells for one in weights)
    assert len(calls) == 3
    longer = tmp_path / "two-b-0"
    (longer / "summary.json").unlink()
    run()
    assert calls[3:] == [["train", "--resume", str(longer)]]

    # What made a cell is said by its beginning, wherever it is collected and however it was stopped.
    made = tmp_path / "two-b-0.made.json"
    made.write_text(made.read_text().replace("--device cpu", "--device cuda"))
    assert run()[-1]["command"].endswith("--device cuda")
    with pytest.raises(SystemExit, match=r"one-a-0: was made by 'yopo train .*', expected 'yopo train .* --lr 0\.3'"):
        run("--extra", "--lr 0.3")
    made.unlink()
    with pytest.raises(SystemExit, match=r"two-b-0: is there without two-b-0\.made\.json, which says what made it"):
        run("--rows", "b", "--budgets", "two")
