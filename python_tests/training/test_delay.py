# SPDX-License-Identifier: MIT


from types import SimpleNamespace

import pytest
import torch

from yopo_ext.adversaries import Natural
from yopo_ext.training import change_config, make_config
from yopo_ext.training.events import Event, Phase
from yopo_ext.training.events.delay import Delay, latest_switch

LONG = make_config(delay="auto", epochs=20, milestones=(15, 18))


def delay_of(config):
    return Delay(None, latest_switch(config), auto=config["delay"] == "auto")


def begins(delay, loss):
    """Whether adversarial samples begin with the next epoch."""
    log = [{"loss": one} for one in delay.state_dict()["losses"]]
    trainer = SimpleNamespace(phase=Phase(began=None), adversary="adversary", in_use=None, log=log)
    delay.on_epoch(trainer, {"loss": loss})
    return trainer.in_use == "adversary"


def switch(config, losses):
    """After how many epochs it switches; None: not at all."""
    delay = delay_of(config)
    return next((epoch for epoch, loss in enumerate(losses, 1) if begins(delay, loss)), None)


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
    assert switch(change_config(LONG, schedule="cosine"), steady) == 10
    assert switch(change_config(LONG, milestones=()), steady) == 18


def test_after_a_given_number_of_epochs():
    assert switch(change_config(LONG, delay=3), [1.0] * 10) == 3


def test_it_goes_on_where_it_stood():
    first, second, third = (delay_of(LONG) for _ in range(3))
    assert not begins(first, 1.0)
    second.load_state_dict(first.state_dict())
    assert second.switched_after is None
    assert begins(second, 0.99)
    third.load_state_dict(second.state_dict())
    assert third.switched_after == 2


def spied(trainer):
    """The adversaries that mini-batches are given to, with their radius then."""
    seen = []

    class Spy(Event):
        name = "spy"
        order = 99

        def on_batch(self, trainer, epochs_done):
            natural = isinstance(trainer.in_use, Natural)
            seen.append((natural, 0.0 if natural else trainer.in_use.ball.eps))

    trainer.events = (*trainer.events, Spy())
    return seen


@pytest.mark.parametrize("method", ["yopo-2-2", "pgd-2", "fast", "free-2", "trades-2"])
def test_natural_samples_until_the_switch(runs, method):
    trainer = runs.trainer(method=method, delay=2, alpha=0.02)
    seen = spied(trainer)
    trainer.fit()
    assert [natural for natural, _ in seen] == [True] * 8 + [False] * 4
    assert [line["natural"] for line in trainer.log] == [True, True, False]
    assert ["switch" in line for line in trainer.log] == [False, True, False]


def test_warm_ups_begin_with_the_adversary(runs):
    trainer = runs.trainer(delay=2, epochs=5, eps_warmup_epochs=2, eps=0.1, alpha=0.02)
    seen = spied(trainer)
    trainer.fit()
    # Four mini-batches an epoch, each at its middle.
    grown = [0.1 * min(1, (i + 0.5) / 8) for i in range(12)]
    assert [eps for _, eps in seen] == pytest.approx([0.0] * 8 + grown)


def test_the_natural_phase_descends_the_configured_loss(runs):
    run = runs.run(method="pgd-1", delay=1, label_smoothing=0.4, lr=0.0)
    trainer, images = run.trainer, run.data.train
    trainer.fit()
    with torch.no_grad():
        logits = trainer.model(images.images / 255)
    expected = torch.nn.functional.cross_entropy(logits, images.labels, label_smoothing=0.4).item()
    assert trainer.log[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert abs(expected - torch.nn.functional.cross_entropy(logits, images.labels).item()) > 1e-4
