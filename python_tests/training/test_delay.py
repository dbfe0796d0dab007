# SPDX-License-Identifier: MIT

from dataclasses import replace

import pytest
import torch

from yopo_ext.adversaries import Natural
from yopo_ext.training import TrainConfig
from yopo_ext.training.delay import Delay

LONG = TrainConfig(delay="auto", epochs=20, milestones=(15, 18))


def switch(config, losses):
    """After how many epochs it switches; None: not at all."""
    delay = Delay(config)
    return next((epoch for epoch, loss in enumerate(losses, 1) if delay.epoch_done(loss)), None)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, 1.0, 0.5, 0.48, 0.1], 4),  # 4 % better than before
        ([2.0, 2.1, 0.5], 2),  # worse
        ([1.0, 0.91], 2),
        ([1.0, 0.89], None),
        ([0.8**epoch for epoch in range(20)], 13),  # a tenth of 20 epochs before the drop at 15
    ],
)
def test_it_switches_when_the_loss_stabilises(losses, expected):
    assert switch(LONG, losses) == expected


def test_not_later_than_half_of_a_schedule_that_falls_all_the_time():
    steady = [0.5**epoch for epoch in range(20)]
    assert switch(replace(LONG, schedule="cosine"), steady) == 10
    assert switch(replace(LONG, milestones=()), steady) == 18


def test_after_a_given_number_of_epochs():
    assert switch(replace(LONG, delay=3), [1.0] * 10) == 3
    assert switch(replace(LONG, delay=None), [1.0] * 10) is None


def test_it_goes_on_where_it_stood():
    first, second = Delay(LONG), Delay(LONG)
    first.epoch_done(1.0)
    second.load_state_dict(first.state_dict())
    assert second.waiting
    assert second.epoch_done(0.99)
    third = Delay(LONG)
    third.load_state_dict(second.state_dict())
    assert not third.waiting
    assert third.switched_after == 2


@pytest.mark.parametrize("method", ["yopo", "pgd", "fast", "free", "trades"])
def test_natural_samples_until_the_switch(runs, method):
    trainer = runs.trainer(method=method, delay=2, m=2, pgd_steps=2, alpha=0.02)
    seen = []
    run_on = trainer.train_on

    def spy(adversary, *batch):
        seen.append(isinstance(adversary, Natural))
        return run_on(adversary, *batch)

    trainer.train_on = spy
    trainer.fit(runs.stop_after(10**9))
    assert seen == [True] * 8 + [False] * 4
    assert [line["natural"] for line in trainer.log] == [True, True, False]
    assert ["switch" in line for line in trainer.log] == [False, True, False]


def test_warm_ups_begin_with_the_adversary(runs):
    trainer = runs.trainer(delay=2, epochs=5, eps_warmup_epochs=2, eps=0.1, alpha=0.02)
    seen = []
    run_on = trainer.train_on

    def spy(adversary, *batch):
        seen.append(0.0 if isinstance(adversary, Natural) else adversary.eps)
        return run_on(adversary, *batch)

    trainer.train_on = spy
    trainer.fit(runs.stop_after(10**9))
    # Four mini-batches an epoch, each at its middle.
    grown = [0.1 * min(1, (i + 0.5) / 8) for i in range(12)]
    assert seen == pytest.approx([0.0] * 8 + grown)


def test_the_natural_phase_descends_the_configured_loss(runs):
    trainer = runs.trainer(method="pgd", pgd_steps=1, delay=1, label_smoothing=0.4, lr=0.0)
    trainer.fit(runs.stop_after(10**9))
    images = trainer.data.train
    with torch.no_grad():
        logits = trainer.model(images.images / 255)
    expected = torch.nn.functional.cross_entropy(logits, images.labels, label_smoothing=0.4).item()
    assert trainer.log[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert abs(expected - torch.nn.functional.cross_entropy(logits, images.labels).item()) > 1e-4
