# SPDX-License-Identifier: MIT
"""Catastrophic overfitting answered: back to the last good epoch, on from there with a smaller step."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from falling_cosine import let_fall
from same_runs import assert_equal, everything

from yopo_ext.adversaries import FGSM
from yopo_ext.evaluation import Staleness
from yopo_ext.training import Event, Interrupted, Trainer, change_config, load_checkpoint
from yopo_ext.training.events.best import Best
from yopo_ext.training.events.event import in_order
from yopo_ext.training.events.going_back import GoingBack
from yopo_ext.training.runs import parts
from yopo_ext.training.runs.trained import open_checkpoint, trained_ball

# Their names in the package are functions.
cuts_of_run, diagnose_run = (sys.modules[f"yopo_ext.training.runs.{name}"] for name in ("cuts_of_run", "diagnose_run"))
STALE = Staleness([], [], [], [], [])


class SmallerStep(Event):
    """What a restart comes to, by hand."""

    order = 46

    def __init__(self, after, factor, adversary):
        self.after = after
        ball = adversary.ball
        self.balls = (ball, replace(ball, alpha=ball.alpha * factor))
        self.adversary = adversary

    def on_batch(self, trainer, epochs_done):
        self.adversary.ball = self.balls[trainer.epoch >= self.after]


def config_of(runs, **changes):
    return change_config(runs.config, method="fast", on_overfitting="restart", epochs=4, milestones=(3,), **changes)


def trainer_of(runs, name, config, epochs=(3,), restarts=1):
    return let_fall(runs.trainer(name, config), epochs, restarts)


def weights_and_state(trainer):
    """Without what only the run that went back has."""
    found = everything(trainer)
    return {name: found[name] for name in ("model", "optimizer", "batches", "generator", "noise")}


@pytest.mark.parametrize("extras", [{}, {"eps_warmup_epochs": 1.5, "ewa_decay": 0.5}, {"held_out": 8, "delay": 1}])
def test_it_goes_on_from_the_last_good_epoch_with_half_the_step(runs, extras):
    config = config_of(runs, **extras)
    trainer = trainer_of(runs, "back", config)
    trainer.fit()
    plain = runs.trainer("plain", change_config(config, on_overfitting="warn"))
    plain.events = in_order([*plain.events, SmallerStep(2, 0.5, plain.adversary)])
    if "eps_warmup_epochs" not in extras:  # which sets the step itself, until it is whole
        plain.fit()
        assert_equal(weights_and_state(trainer), weights_and_state(plain))
    assert [record["epoch"] for record in trainer.log] == [1, 2, 3, 4]
    third = trainer.log[2]
    assert third["restarted"] == "after 1 epoch that overfitted to the attack, from epoch 2 on with 0.5 of alpha"
    (given_up,) = third["given_up"]
    assert given_up["epoch"] == 3
    assert given_up["warning"].endswith("going back to epoch 2, restart 1 of 2")
    assert "fell from 0.60 to 0.05" in given_up["warning"]
    assert given_up["seconds"] < third["seconds"]
    assert "warning" not in third
    assert trainer.adversary.ball.alpha == pytest.approx(0.5 * 1.25 * 0.1)
    assert trainer.adversary.ball.eps == 0.1


def test_what_looks_at_the_attack_takes_the_step_that_is_left(runs, monkeypatch):
    """The staleness of an epoch, and afterwards a diagnosis and the report on cuts."""
    seen = []
    monkeypatch.setattr(parts, "staleness", lambda *given, alpha, **options: seen.append(alpha) or STALE)
    config = change_config(config_of(runs), method="yopo-attack-1-2", alpha=0.05, staleness_every=1)
    trainer = trainer_of(runs, "run", config)
    trainer.fit()
    assert seen == [0.05, 0.05, 0.05, 0.025, 0.025]
    _, state = open_checkpoint(trainer.folder)
    assert trained_ball(config, state) == replace(config.ball, alpha=0.025)
    made = {}
    monkeypatch.setattr(cuts_of_run, "cut_report", lambda *given, alpha, **options: made.update(cuts=alpha))
    cuts_of_run.cuts_of_run(trainer.folder, limit=8)
    monkeypatch.setattr(
        diagnose_run, "maximum_principle", lambda *given, ball, **options: made.update(diagnosis=ball.alpha)
    )
    diagnose_run.diagnose_run(trainer.folder, limit=8)
    assert made == {"cuts": 0.025, "diagnosis": 0.025}


@pytest.mark.parametrize("checks", [9, 13, 17])
def test_it_resumes_bit_for_bit(runs, checks):
    config = config_of(runs)
    whole = trainer_of(runs, "whole", config)
    whole.fit()
    parts = trainer_of(runs, "parts", config)
    with pytest.raises(Interrupted):
        parts.fit(runs.stop_after(checks))
    resumed = trainer_of(runs, "parts", config)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed), everything(whole))


def test_after_so_many_restarts_it_only_warns(runs):
    trainer = trainer_of(runs, "often", config_of(runs, most_restarts=2), epochs=(3, 4), restarts=99)
    trainer.fit()
    assert len(trainer.log) == 4
    third = trainer.log[2]
    assert "with 0.25 of alpha" in third["restarted"]
    assert "going back" not in third["warning"]
    assert trainer.adversary.ball.alpha == pytest.approx(0.25 * 1.25 * 0.1)
    assert "restarted" in third["given_up"][0]


def test_nothing_good_to_go_back_to(runs):
    trainer = trainer_of(runs, "early", config_of(runs), epochs=(1,), restarts=99)
    trainer.fit()
    assert len(trainer.log) == 4
    assert not any("restarted" in record for record in trainer.log)


def test_what_does_not_go_together(runs, tmp_path):
    with pytest.raises(ValueError, match="on_overfitting: got 'restart' with method natural, expected an adversarial"):
        change_config(runs.config, method="natural", on_overfitting="restart")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    adversary = FGSM(model, replace(runs.trainer("x").adversary.ball, alpha=0.1))
    batches = [(torch.rand(3, 1, 2, 2), torch.arange(3) % 2)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, adversary, batches, optimizer, epochs=1, events=[GoingBack(adversary)])
    with pytest.raises(ValueError, match="folder: got None, expected one for the checkpoint to go back to"):
        trainer.fit()


def let_measure(monkeypatch, *robust):
    """The curve's robust accuracies, one a measurement; clean and FGSM accuracy stay high."""
    left = iter(robust)
    monkeypatch.setattr(
        "yopo_ext.training.runs.parts.curve_accuracies",
        lambda *arguments: {"clean": 95.0, "fgsm": 80.0, "curve_robust": next(left)},
    )


def test_the_best_checkpoint_is_none_that_was_given_up(runs, monkeypatch):
    """What the file holds is what the run remembers."""
    let_measure(monkeypatch, 10.0, 50.0, 90.0, 30.0, 40.0)
    trainer = trainer_of(runs, "best", config_of(runs))
    trainer.events = in_order([*trainer.events, Best()])
    trainer.fit()
    assert [record["curve_robust"] for record in trainer.log] == [10.0, 50.0, 30.0, 40.0]
    best, good, last = (load_checkpoint(trainer.folder / name) for name in ("best.pt", "good.pt", "last.pt"))
    assert best["progress"]["epoch"] == 2
    assert last["events"]["best"] == {"robust": 50.0, "epoch": 2, "since": 2}
    assert good["progress"]["epoch"] == last["progress"]["epoch"] == 4
    assert last["progress"]["log"][2]["units_total"] > 3.5 * last["progress"]["log"][0]["units_total"]


def test_patience_that_runs_out_in_an_epoch_that_is_given_up_ends_nothing(runs, monkeypatch):
    let_measure(monkeypatch, 20.0, 30.0, 25.0, 40.0, 50.0)
    trainer = trainer_of(runs, "patient", config_of(runs, held_out=8))
    trainer.events = in_order([*(one for one in trainer.events if one.name != "best"), Best(patience=1)])
    trainer.fit()
    assert [record["epoch"] for record in trainer.log] == [1, 2, 3, 4]
    assert [record["epoch"] for record in trainer.log[2]["given_up"]] == [3]


def test_an_epoch_that_nobody_looked_at_is_none_to_go_back_to(runs, monkeypatch):
    """Measured are epochs 2, 4, and 4 again; what happened in the third is not known."""
    let_measure(monkeypatch, 60.0, 5.0, 61.0)
    trainer = runs.trainer("rarely", config_of(runs, curve_every=2, cosine_every=0))
    trainer.fit()
    assert [record["epoch"] for record in trainer.log] == [1, 2, 3, 4]
    third = trainer.log[2]
    assert [record["epoch"] for record in third["given_up"]] == [3, 4]
    assert third["restarted"].endswith("from epoch 2 on with 0.5 of alpha")
    assert load_checkpoint(trainer.folder / "good.pt")["progress"]["epoch"] == 4


def test_tensorboard_has_no_epoch_that_was_given_up(runs, monkeypatch):
    written = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, epoch: written.append((name, epoch)), flush=lambda: None, close=lambda: None
    )
    module = SimpleNamespace(SummaryWriter=lambda *arguments, **options: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    trainer = trainer_of(runs, "shown", config_of(runs, tensorboard=True))
    trainer.fit()
    assert "given_up" in trainer.log[2]
    assert [epoch for name, epoch in written if name == "loss"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"method": "free-2", "cosine_every": 2}, "cosine_every: got 2 with method free, expected one of fast"),
        ({"method": "pgd-2", "cosine_every": 2, "cuda_graph": True}, "cosine_every: got 2 with cuda_graph, expected 1"),
    ],
)
def test_where_the_cosine_is_not_to_be_had(runs, changes, error):
    with pytest.raises(ValueError, match=error):
        change_config(runs.config, **changes)


def test_the_cosine_of_an_epoch_is_the_mean_over_the_mini_batches_looked_at(runs):
    seen, weights = {}, {}
    for every in (None, 1, 2, 0):
        trainer = runs.trainer(f"{every}", method="yopo-attack-1-2", cosine_every=every, epochs=1, milestones=())
        trainer.fit()
        seen[every] = trainer.log[0].get("gradient_cosine")
        weights[every] = trainer.model.state_dict()
        assert_equal(weights[every], weights[None])
    assert seen[0] is None
    assert len({seen[None], seen[1], seen[2]}) == 3  # four mini-batches, two, the first
    assert all(0.5 < seen[every] < 1 for every in (None, 1, 2))
