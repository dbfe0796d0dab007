# SPDX-License-Identifier: MIT
"""Small images first: what is measured and kept while images grow."""

import torch
from growing_runs import growing

from yopo_ext.training import Event
from yopo_ext.training.events.best import Best
from yopo_ext.training.events.event import in_order


def test_the_average_s_batch_norm_is_made_from_what_is_trained_on(runs):
    """At black images, an event's, it has the statistics of black images."""
    trainer = runs.trainer(config=growing(runs, ewa_decay=0.5, ewa_bn_batches=2, method="natural"))
    black = type("Black", (Event,), {"name": "black", "prepare": lambda self, trainer, x: torch.zeros_like(x)})()
    trainer.events = (*trainer.events, black)
    trainer.fit()
    average = trainer.measured_model
    assert torch.allclose(average.bn1.running_mean, average.conv1.bias, atol=1e-6)
    assert average.bn1.running_var.abs().max() < 1e-6


def test_small_epochs_are_no_candidates_and_use_up_no_patience(runs):
    found = {"clean": 50.0, "fgsm": 40.0}
    trainer = runs.trainer(config=growing(runs, curve_every=1, epochs=6))
    best = Best(patience=1)
    trainer.events = in_order((*trainer.events, best))
    curve = next(event for event in trainer.events if event.name == "curve")
    robust = iter([40.0, 20.0, 10.0, 15.0, 12.0, 11.0])
    curve.measure = lambda model, stop: found | {"curve_robust": next(robust)}
    trainer.fit()
    assert (best.epoch, len(trainer.log)) == (4, 5)


def test_what_was_measured_at_another_size_warns_of_nothing(runs):
    trainer = runs.trainer(config=growing(runs, curve_every=1, epochs=4, progressive_epochs=(1, 1)))
    curve = next(event for event in trainer.events if event.name == "curve")
    robust = iter([40.0, 5.0, 30.0, 6.0])
    curve.measure = lambda model, stop: {"clean": 50.0, "fgsm": 40.0, "curve_robust": next(robust)}
    trainer.fit()
    assert ["PGD accuracy fell" in record.get("warning", "") for record in trainer.log] == [False, False, False, True]


def test_losses_of_two_sizes_do_not_look_stable(runs):
    config = growing(runs, delay="auto", epochs=6, progressive_epochs=(1, 2), milestones=())
    trainer = runs.trainer(config=config)
    losses = iter([2.0, 2.1, 1.5, 1.6, 1.6, 1.6])  # stable nowhere but within the whole images
    delay = next(event for event in trainer.events if event.name == "delay")
    told, on_epoch = [], delay.on_epoch

    def with_loss(trainer, record):
        record["loss"] = next(losses)
        on_epoch(trainer, record)
        told.append(delay.switched_after)

    delay.on_epoch = with_loss
    trainer.fit()
    assert told == [None, None, None, None, 5, 5]
