# SPDX-License-Identifier: MIT
"""Averages of the weights: how they start, and the statistics that batch norm is given."""

from __future__ import annotations

import copy
import warnings
from types import SimpleNamespace

import batch_norm_net
import pytest
import torch
from falling_cosine import let_fall
from same_runs import assert_equal, everything
from stop_after import StopAfter
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from yopo_ext.data import to_float
from yopo_ext.models.weight_files import WeightsWarning, read_state_dict
from yopo_ext.training import Interrupted, Run, change_config, load_checkpoint
from yopo_ext.training.events import Event
from yopo_ext.training.events.averaging import Averaging
from yopo_ext.training.events.best import Best
from yopo_ext.training.events.event import in_order
from yopo_ext.training.runs.average_statistics import AverageStatistics
from yopo_ext.training.runs.trained import measured_weights

BATCHES = 2


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def moved(model, steps):
    """Steps of a training that goes anywhere."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for one in (*model.parameters(), model[1].running_mean):
            one.data += torch.randn(one.shape, generator=generator, dtype=one.dtype)
        model[1].num_batches_tracked += 1
        yield SimpleNamespace(model=model)


def test_the_average_starts_short():
    model = network()
    averaging = Averaging(model, 0.6)
    expected, decays = copy.deepcopy(model).state_dict(), []
    for step, trainer in enumerate(moved(model, 30)):
        averaging.on_weights(trainer)
        decays.append(min(0.6, (1 + step) / (10 + step)) if step else 0.0)  # the first weights are the average
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decays[-1] * expected[name] + (1 - decays[-1]) * value
    assert decays[12] < 0.6 == decays[13]
    expected["1.num_batches_tracked"] = torch.tensor(30)
    torch.testing.assert_close(averaging.measured_model.state_dict(), expected)


def test_a_checkpoint_goes_on_as_it_began():
    """One that torch's averaged model wrote: its decay was the same always."""
    model = network()
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    steps = moved(model, 7)
    for _ in range(3):
        theirs.update_parameters(next(steps).model)
    ours = Averaging(network(), 0.9)
    ours.load_state_dict(theirs.state_dict())
    for trainer in steps:
        theirs.update_parameters(trainer.model)
        ours.on_weights(trainer)
    assert ours.updates == 7
    for name, value in ours.average.named_parameters():
        assert torch.equal(value, theirs.module.get_parameter(name))
    short = Averaging(network(), 0.9)
    short.load_state_dict(Averaging(network(), 0.9).state_dict())
    assert short.warmup


def statistics(model):
    return {name: value.clone() for name, value in model.state_dict().items() if "running" in name}


def with_batch_norm(runs, **changes):
    base = {"model": batch_norm_net.NAME, "ewa_decay": 0.9, "ewa_bn_batches": BATCHES, "epochs": 1, "milestones": ()}
    return change_config(runs.config, **{**base, **changes})


@pytest.mark.parametrize("delay", [None, 1])
def test_statistics_are_those_of_the_averages_own_activations(runs, delay):
    """On natural images, which a delayed method trains on at first: torch's `update_bn` over the same mini-batch."""
    changes = {"method": "natural"} if delay is None else {"method": "pgd-2", "delay": 1, "epochs": 2}
    config = with_batch_norm(runs, **changes, batch_size=56)
    run = runs.run(config=config)
    found = []

    class AfterTheFirst(Event):
        order = 6

        def on_epoch(self, trainer, record):
            found.append(copy.deepcopy(trainer.measured_model))

    run.trainer.events = (*run.trainer.events[:1], AfterTheFirst(), *run.trainer.events[1:])
    assert run.trainer.events[0].name == "averaging"
    run.fit()
    average = found[0]
    expected = copy.deepcopy(average)
    update_bn([to_float(run.data.train.images)], expected)
    torch.testing.assert_close(statistics(average), statistics(expected))
    assert not torch.equal(average.bn1.running_mean, run.trainer.model.bn1.running_mean)
    assert all(one.grad is None for one in average.parameters())
    if delay is not None:  # then the images are attacked
        expected = copy.deepcopy(found[1])
        update_bn([to_float(run.data.train.images)], expected)
        assert not torch.allclose(statistics(found[1])["bn2.running_mean"], expected.bn2.running_mean, rtol=1e-3)


METHODS = [
    {"method": "trades-2", "beta": 1.0},  # crafts in evaluation mode
    {"method": "free-2", "mixup": 0.4},
    {"method": "yopo-2-2", "eps_warmup_epochs": 1, "augment": True},
    {"method": "fast", "start": "previous-epoch", "augment": True},  # remembers, and draws
]


@pytest.mark.parametrize("changes", METHODS, ids=lambda changes: changes["method"])
def test_recomputing_leaves_the_training_alone_and_resumes_bit_for_bit(runs, changes):
    config = with_batch_norm(runs, epochs=2, **changes)
    whole = everything(runs.finished("whole", config))
    plain = everything(runs.finished("plain", change_config(config, ewa_bn_batches=0)))
    for part in ("model", "optimizer", "generator", "noise", "batches"):
        assert_equal(whole[part], plain[part], part)
    ours, theirs = (one["events"]["averaging"] for one in (whole, plain))
    assert torch.equal(ours["module.linear.weight"], theirs["module.linear.weight"])
    assert not torch.equal(ours["module.bn1.running_mean"], theirs["module.bn1.running_mean"])
    # The first epoch has four mini-batches, and so three looks: then its recomputing is interrupted, half done.
    trainer = runs.interrupted("parts", config, 3 + 2)
    assert (trainer.epoch, trainer.log) == (1, [])
    resumed = runs.trainer("parts", config)
    resumed.resume()
    with pytest.raises(Interrupted):  # and inside of the second
        resumed.fit(StopAfter(2 + 1 + 2))
    assert (resumed.epoch, resumed.position > 0) == (1, True)
    again = runs.trainer("parts", config)
    again.resume()
    again.fit()
    assert_equal(everything(again), whole)


def test_after_a_restart_the_statistics_are_those_of_the_smaller_step(runs, monkeypatch):
    met = []
    build = AverageStatistics._adversary

    def spy(*arguments):
        adversary = build(*arguments)
        met.append(adversary.ball.alpha)
        return adversary

    monkeypatch.setattr(AverageStatistics, "_adversary", spy)
    changes = {"method": "fast", "model": batch_norm_net.NAME, "ewa_decay": 0.9, "ewa_bn_batches": 1}
    trainer = let_fall(runs.trainer("back", change_config(runs.config, on_overfitting="restart", **changes)), (2,))
    trainer.fit()
    own = 1.25 * 0.1
    assert met == pytest.approx([own, own, own / 2, own / 2])


@pytest.mark.parametrize("file", ["last.pt", "best.pt"])
def test_a_checkpoint_as_a_file_of_weights_holds_the_average(runs, file):
    trainer = runs.trainer("kept", change_config(runs.config, ewa_decay=0.9, held_out=8))
    trainer.events = in_order([*trainer.events, Best()])
    trainer.fit()
    path = trainer.folder / file
    with pytest.warns(WeightsWarning, match=f"{file}: a run's checkpoint, of which the average"):
        begun = runs.trainer("begun", change_config(runs.config, init_weights=str(path)))
    expected = measured_weights(load_checkpoint(path))
    assert_equal(dict(begun.model.state_dict()), expected)
    plain = runs.finished("plain").folder / "last.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("error", WeightsWarning)
        found = read_state_dict(plain)
    assert_equal(found, dict(load_checkpoint(plain)["model"]))


def test_recomputing_needs_an_average_and_batch_norm(runs):
    with pytest.raises(ValueError, match=r"ewa_bn_batches: got 2 with ewa_decay 0\.0, expected ewa_decay above 0"):
        change_config(runs.config, ewa_bn_batches=2)
    assert change_config(runs.config, ewa_bn_batches=0)["ewa_bn_batches"] == 0  # as runs of older versions say
    assert runs.run(ewa_decay=0.9, ewa_bn_batches=2).trainer.events[0].refresh is None


@pytest.mark.parametrize(
    ("changes", "recomputes"),
    [
        ({"method": "fast"}, None),
        ({"method": "yopo-2-2", "first_layer_grad": "backprop"}, None),
        ({"method": "free-yopo-2-1"}, None),
        ({"method": "yopo-2-2"}, 4),
        ({"method": "yopo-2-2", "first_layer_grad": "both"}, 4),
        ({"method": "free-yopo-2-1", "first_layer_grad": "hamiltonian"}, 4),
        ({"method": "yopo-2-2", "ewa_bn_batches": 0}, None),
        ({"method": "yopo-2-2", "ewa_bn_batches": 1}, 1),
    ],
)
def test_behind_a_first_layer_that_descends_h_statistics_are_recomputed(runs, changes, recomputes):
    refresh = runs.run(model=batch_norm_net.NAME, ewa_decay=0.9, **changes).trainer.events[0].refresh
    assert (refresh and refresh.batches) == recomputes


def test_the_last_weights_beside_their_average(runs, capsys):
    config = with_batch_norm(runs, curve_last_weights=True, curve_every=2, epochs=3)
    run = Run(config, runs.root / "run", runs.data(config))
    run.fit()
    names = ("clean", "fgsm", "curve_robust")
    for line in run.trainer.log:
        assert [f"last_{name}" in line for name in names] == [line["epoch"] != 1] * 3
    line = run.trainer.log[-1]
    found = run.parts.measure_curve(run.trainer.model, run.trainer.stop)
    assert {name: line[f"last_{name}"] for name in names} == found
    assert found != {name: line[name] for name in names}
    assert f"(last weights {found['clean']:.1f} %" in capsys.readouterr().out
    with pytest.raises(ValueError, match="curve_last_weights: got ewa_decay 0"):
        change_config(config, ewa_decay=0.0, ewa_bn_batches=0)
