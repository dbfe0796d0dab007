# SPDX-License-Identifier: MIT
"""Short runs of every method come to the figures in figures.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yopo_ext.training import make_config, run_job

COMMON = {
    "epochs": 3, "batch_size": 16, "limit_train": 160, "limit_eval": 40, "curve_images": 40, "curve_steps": 2,
    "eval_steps": 2, "lr": 0.2,
}  # fmt: skip
RUNS = {
    "natural": {"milestones": (2,)},
    "pgd-2": {"bn_mode": "eval"},
    "fast": {"optimizer": "nesterov", "milestones": ()},
    "n-fgsm": {"schedule": "cyclic"},
    "free-2": {"norm": "l2", "eps": 1.0},
    "trades-2": {"beta": 3.0},
    "trades-yopo-2-2": {"label_smoothing": 0.1},
    "yopo-2-2": {"ewa_decay": 0.9, "ewa_warmup": False},
    "yopo-2-3": {"reduction": "sum", "first_layer_grad": "both", "lr": 0.1, "first_layer_milestones": (1,)},
    "yopo-1-2": {"first_layer_grad": "backprop", "schedule": "cosine", "optimizer": "adam", "lr": 0.002},
    "yopo-3-1": {"delay": 1, "schedule": "one-cycle", "held_out": 40},
    "yopo-2-1": {"eps_warmup_epochs": 1.5, "activation": "silu", "augment": True},
}
#: {method: {"loss": one an epoch, "correct": percent, at the end}}
FIGURES: dict[str, dict[str, list[float]]] = json.loads(Path(__file__).with_name("figures.json").read_text())


def figures(method: str, folder: Path) -> dict[str, list[float]]:
    config = make_config(method=method, **{**COMMON, **RUNS[method]})
    summary = run_job(config, folder, compare_natural=False, resume=False, show=False)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    final = summary[config.method.name]
    return {"loss": [record["loss"] for record in log], "correct": [final["clean"], final["robust"]]}


@pytest.mark.parametrize("method", RUNS)
def test_the_figures_are_the_same(method, tmp_path):
    found = figures(method, tmp_path / "run")
    # Another processor rounds otherwise; a step more or less, or another seed, is a hundred times as much.
    assert found["loss"] == pytest.approx(FIGURES[method]["loss"], rel=1e-3)
    assert found["correct"] == pytest.approx(FIGURES[method]["correct"], abs=2.6)
