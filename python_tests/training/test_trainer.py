# SPDX-License-Identifier: MIT

import json
import math
from contextlib import nullcontext

import pytest
import torch

from yopo_ext.adversaries import PGD, YOPO, Natural
from yopo_ext.ball import Ball
from yopo_ext.training import Run, TrainingError, change_config, load_checkpoint
from yopo_ext.training.runs.optimizer import make_optimizer


def lines(trainer):
    return [json.loads(line) for line in (trainer.folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_have_a_line_an_epoch(runs):
    trainer = runs.finished("run", change_config(runs.config, curve_every=2))
    found = lines(trainer)
    assert found == trainer.log
    assert [line["epoch"] for line in found] == [1, 2, 3]
    always = {"epoch", "seconds", "loss", "attacked_accuracy", "inner_share", "lr", "units", "units_total"}
    measured = {"clean", "curve_robust", "fgsm"}
    assert [set(line) - always for line in found] == [set(), measured, measured]
    for line in found:
        assert math.isfinite(line["loss"])
        assert 0 < line["inner_share"] < 1
        assert 0 <= line.get("curve_robust", 0) <= line.get("clean", 0) <= 100
    assert found[0]["seconds"] < found[1]["seconds"] < found[2]["seconds"]


class AsynchronousDevice:
    """A clock, and a stopwatch of a device that is a second behind at each epoch's end: nothing else takes time."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("yopo_ext.training.loop.trainer.perf_counter", lambda: self.now)
        monkeypatch.setattr("yopo_ext.training.loop.trainer.Stopwatch", lambda device: self)

    def span(self, name):
        return nullcontext()

    def totals(self):
        self.now += 1.0
        return {"passes": 0.75}


def test_an_epochs_seconds_include_what_the_device_still_had_to_do(runs, monkeypatch):
    AsynchronousDevice(monkeypatch)
    trainer = runs.finished("run")
    assert [line["seconds"] for line in lines(trainer)] == [1.0, 2.0, 3.0]


def test_loss_and_accuracy_are_means_over_the_epochs_images(runs):
    run = runs.run(method="natural", lr=0.0, epochs=1)
    trainer, images = run.trainer, run.data.train
    trainer.fit()
    with torch.no_grad():
        logits = trainer.model(images.images / 255)
    loss = torch.nn.functional.cross_entropy(logits, images.labels).item()
    assert lines(trainer)[0]["loss"] == pytest.approx(loss, rel=1e-5)
    correct = (logits.argmax(1) == images.labels).float().mean().item()
    assert lines(trainer)[0]["attacked_accuracy"] == pytest.approx(100 * correct)


def test_predictions_that_cannot_be_counted_have_no_accuracy(runs):
    trainer = runs.trainer(method="natural", epochs=1)
    accumulate = trainer.adversary.accumulate
    trainer.adversary.accumulate = lambda x, y: {
        name: value for name, value in accumulate(x, y).items() if name != "correct"
    }
    trainer.fit()
    assert "attacked_accuracy" not in lines(trainer)[0]
    assert math.isfinite(lines(trainer)[0]["loss"])


def test_rates_drop_at_milestones_of_each_group(runs):
    trainer = runs.trainer(milestones=(1, 3), first_layer_milestones=(2,), epochs=4, lr=0.5)
    seen = []
    step = trainer.optimizer.step

    def spy():
        rates = tuple(group["lr"] for group in trainer.optimizer.param_groups)
        seen.append((trainer.epoch, *rates))
        step()

    trainer.optimizer.step = spy
    trainer.fit()
    assert len(seen) == 16
    expected = {(0, 0.5, 0.5), (1, 0.5, 0.05), (2, 0.05, 0.05), (3, 0.05, 0.005)}
    assert sorted(set(seen)) == [pytest.approx(rates) for rates in sorted(expected)]
    assert [line["lr"] for line in lines(trainer)] == pytest.approx([0.5, 0.05, 0.05, 0.005])


def test_every_parameter_is_in_one_group(runs):
    run = runs.run(momentum=0.7, weight_decay=0.003)
    trainer = run.trainer
    first, rest = (
        group["params"] for group in make_optimizer(run.config, trainer.model, trainer.model.first_layer).param_groups
    )
    conv = trainer.model.features.conv1
    assert {id(parameter) for parameter in first} == {id(conv.weight), id(conv.bias)}
    assert sorted(map(id, [*first, *rest])) == sorted(map(id, trainer.model.parameters()))
    for group in trainer.optimizer.param_groups:
        assert (group["momentum"], group["weight_decay"]) == (0.7, 0.003)


def test_methods_get_their_settings(runs):
    yopo = runs.trainer(m=3, n=4, eps=0.2, alpha=0.07, reduction="sum", first_layer_grad="both", norm="l2").adversary
    assert isinstance(yopo, YOPO)
    assert (yopo.m, yopo.n, yopo.ball) == (3, 4, Ball(0.2, 0.07, norm="l2"))
    assert (yopo.reduction, yopo.first_layer_grad) == ("sum", "both")
    pgd = runs.trainer(method="pgd-7", eps=0.2, alpha=0.07, norm="l2").adversary
    assert isinstance(pgd, PGD)
    assert (pgd.steps, pgd.ball) == (7, Ball(0.2, 0.07, norm="l2"))
    assert isinstance(runs.trainer(method="natural").adversary, Natural)


@pytest.mark.parametrize(("name", "expected"), [("channels_last", True), ("contiguous", False)])
def test_memory_format(runs, name, expected):
    trainer = runs.trainer(memory_format=name)
    weight = trainer.model.features.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == expected


class Poison:
    """Training goes on as before until one batch, whose loss is not finite."""

    def __init__(self, trainer, batch):
        self.accumulate, self.left = trainer.adversary.accumulate, batch
        trainer.adversary.accumulate = self

    def __call__(self, x, y):
        metrics = self.accumulate(x, y)
        self.left -= 1
        if self.left == 0:
            metrics["loss"] = metrics["loss"] * float("nan")
        return metrics


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(runs):
    trainer = runs.trainer()
    Poison(trainer, 4 + 3)
    with pytest.raises(TrainingError, match="the loss is not finite in epoch 2, at step 3") as caught:
        trainer.fit()
    path = trainer.folder / "last.pt"
    assert f"the last good checkpoint is {path}" in str(caught.value)
    assert load_checkpoint(path)["progress"]["epoch"] == 1
    assert len(lines(trainer)) == 1
    again = runs.trainer()
    again.resume()
    again.fit()
    assert len(lines(again)) == 3


def test_it_is_noticed_within_a_long_epoch(runs):
    trainer = runs.trainer(log_every=2)
    Poison(trainer, 1)
    with pytest.raises(TrainingError, match="in epoch 1, at step 1; no checkpoint had been written yet"):
        trainer.fit()


def test_also_when_a_stop_is_requested(runs):
    trainer = runs.trainer()
    Poison(trainer, 6)
    with pytest.raises(TrainingError, match="in epoch 2, at step 2"):
        trainer.fit(runs.stop_after(4 + 3))
    assert load_checkpoint(trainer.folder)["progress"]["position"] == 0


def test_weights_that_are_not_finite_are_no_good_checkpoint(runs):
    trainer = runs.trainer(batch_size=56)
    with torch.no_grad():
        trainer.model.classifier.fc2.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match="the weights are not finite in epoch 1"):
        trainer.fit()
    assert not (trainer.folder / "last.pt").exists()


def test_a_real_divergence(runs):
    with pytest.raises(TrainingError, match="a smaller learning rate usually helps"):
        runs.finished("run", change_config(runs.config, lr=1e12))


def test_what_does_not_fit_is_refused(runs):
    with pytest.raises(ValueError, match="'digits-cnn' takes 8x8 images"):
        Run(runs.config, runs.root, runs.data(change_config(runs.config, model="smallcnn")))
    for device in ("cuda:99", "warp", "meta"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used"):
            runs.trainer(device=device)


def test_training_learns(runs):
    trainer = runs.finished("run", change_config(runs.config, method="natural", limit_train=400, epochs=6))
    assert trainer.log[-1]["loss"] < 0.5 * trainer.log[0]["loss"]
    assert trainer.log[-1]["attacked_accuracy"] > 80
