# SPDX-License-Identifier: MIT
"""Forward passes an image in a run's log: of each method, each phase, whatever runs the passes."""

import batch_norm_net
import pytest
import torch
from played_graph import Recorder
from same_runs import assert_equal, everything
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from yopo_ext.adversaries import PGD
from yopo_ext.ball import Ball
from yopo_ext.training import Trainer, change_config
from yopo_ext.training.events.printing import epoch_text
from yopo_ext.training.loop import GraphedAdversary
from yopo_ext.training.runs import compose
from yopo_ext.units import UnitCounter


def share_of_first_layer(model, shape):
    layer = model.first_layer if isinstance(model.first_layer, nn.Module) else nn.Sequential(*model.first_layer)
    counted = []
    for module in (layer, model):
        with UnitCounter(module) as counter:
            module(torch.rand(2, *shape))
        counted.append(counter.multiply_adds)
    return counted[0] / counted[1]


def units(trainer):
    return [record["units"] for record in trainer.log]


def finished(runs, name="run", **changes):
    config = change_config(runs.config, curve_every=3, **changes)
    if config.declared_method.watched and "cosine_every" not in changes:
        config = change_config(config, cosine_every=0)
    trainer = runs.trainer(name, config)
    trainer.fit()
    return trainer, share_of_first_layer(trainer.model, (1, 8, 8))


def test_units_and_their_total_are_in_the_log(runs):
    trainer, s = finished(runs, method="pgd-3")
    assert units(trainer) == pytest.approx([2 * 3 + 3 - s] * 3, abs=1e-4)
    totals = [record["units_total"] for record in trainer.log]
    assert totals == pytest.approx([1 * units(trainer)[0], 2 * units(trainer)[0], 3 * units(trainer)[0]])
    assert f" s, {totals[2]:.4g} units, inner loop" in epoch_text("PGD-3", 3, trainer.log[2])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "natural"}, lambda s: 3 - s),
        ({"method": "free-2"}, lambda s: 3 * 2),  # two passes a mini-batch, a weight step after each
        ({"method": "yopo-2-3"}, lambda s: 2 * (3 - 2 * s) + 2 * (2 * 3 * s + 2 * s)),  # through a ReLU
        ({"method": "fast", "accumulate": 3}, lambda s: 5 - s),
        ({"method": "fast", "attack_in_kernel": "on"}, lambda s: 5 - s),
        ({"method": "fast", "amp": "bf16", "mixup": 0.4}, lambda s: 5 - s),
        ({"method": "fast", "amp": "fp16"}, lambda s: 5 - s),
        ({"method": "fast", "start": "previous-epoch", "consistency": 1.0}, lambda s: 7 - s),
        ({"method": "fast", "consistency": 1.0, "consistency_outputs": "detached"}, lambda s: 5 - s),
        ({"method": "trades-2"}, lambda s: 1 + 2 * 2 + 2 * (3 - s)),
    ],
    ids=lambda value: "" if callable(value) else " ".join(map(str, value.values())),
)
def test_units_of_methods_and_what_they_are_crossed_with(runs, changes, expected):
    trainer, s = finished(runs, epochs=1, milestones=(), **changes)
    assert units(trainer) == [pytest.approx(expected(s), abs=1e-4)]


@pytest.mark.parametrize(("every", "looks"), [(0, 0), (1, 1), (2, 0), (3, 0), (16, 0)])
def test_looking_at_the_cosine_costs_where_it_is_always_done(runs, every, looks):
    """Else one that is not looked at stands for all, whichever of the four mini-batches are."""
    trainer, s = finished(runs, method="fast", cosine_every=every, epochs=2, milestones=())
    assert units(trainer) == [pytest.approx(5 - s + looks * s, abs=1e-4)] * 2


def share_of(model, last):
    """Of the multiply-adds: a chain's first modules, up to one of them."""
    counted = []
    for modules in ([*model.features][: last + 1], [model]):
        with UnitCounter(model) as counter:
            x = torch.rand(2, 1, 8, 8)
            for module in modules:
                x = module(x)
        counted.append(counter.multiply_adds)
    return counted[0] / counted[1]


def by_backprop(c, s):
    """A pass for all weights: a kernel finds the first layer's gradient from its output, computed again."""
    return 3 if s == c else 3 - c


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "yopo-2-3"}, lambda c, s: 3 * 2 + 2 * 2 * 3 * s + 2 * (s - c)),
        ({"method": "yopo-2-3", "first_layer_grad": "backprop"}, lambda c, s: 2 * by_backprop(c, s) + 2 * 3 * s),
        ({"method": "free-yopo-2-3"}, lambda c, s: 2 * by_backprop(c, s) + 2 * 2 * 3 * s),
        ({"method": "yopo-attack-2-3"}, lambda c, s: 2 * (2 - s) + 2 * 2 * 3 * s + 3 - c),
        ({"method": "trades-yopo-2-3"}, lambda c, s: 2 * (2 - s) + 2 * 2 * 3 * s + 7 - 2 * c),
    ],
    ids=lambda value: "" if callable(value) else " ".join(value.values()),
)
@pytest.mark.parametrize("cut", [None, "features.relu2"])
def test_units_of_nonlinear_prefixes_as_documented(runs, changes, expected, cut):
    """c is the first convolution's share, s that of all that the steps go through."""
    trainer, _ = finished(runs, epochs=1, milestones=(), cut=cut, **changes)
    names = [name for name, _ in trainer.model.features.named_children()]
    c, s = (share_of(trainer.model, names.index(name)) for name in ("conv1", "relu1" if cut is None else "relu2"))
    assert units(trainer) == [pytest.approx(expected(c, s), abs=1e-3)]


def test_a_unit_of_an_ensemble_is_a_pass_of_all_its_members(runs):
    alone, s = finished(runs, "alone", method="pgd-2", epochs=1, milestones=())
    several, _ = finished(runs, "several", method="pgd-2", members=2, objective="adp", epochs=1, milestones=())
    # The objective's determinants are matrix products too.
    assert units(several) == pytest.approx(units(alone), abs=1e-3) == [pytest.approx(7 - s, abs=1e-3)]


GROWING = {"method": "pgd-5", "delay": 1, "steps_warmup_epochs": 1}


def test_natural_epochs_and_growing_attacks_cost_less(runs):
    # The first mini-batch of an epoch, here the only one of its number of steps, is watched otherwise.
    trainer = runs.trainer(curve_every=3, cosine_every=0, **GROWING)
    images, accumulate = [], trainer.adversary.accumulate

    def spy(x, y):
        images.append((len(x), trainer.adversary.steps))
        return accumulate(x, y)

    trainer.adversary.accumulate = spy
    trainer.fit()
    s = share_of_first_layer(trainer.model, (1, 8, 8))
    assert len({steps for _, steps in images}) > 2
    crafted = [sum(count * (2 * steps + 3 - s) for count, steps in part) / 56 for part in (images[:4], images[4:])]
    assert units(trainer) == pytest.approx([3 - s, *crafted], abs=1e-4)


@pytest.mark.parametrize("checks", [1, 2, 5, 6, 7, 9])
def test_a_resumed_run_counts_on_exactly(runs, checks):
    config = change_config(runs.config, curve_every=3, method="yopo-2-2", model=batch_norm_net.NAME, epochs=3)
    config = change_config(config, delay=1) if checks > 5 else config
    whole = everything(runs.finished("whole", config))
    assert all(record["units"] > 0 for record in whole["log"])
    resumed = runs.resumed("parts", config, checks)
    assert_equal(everything(resumed)["log"], whole["log"])


@pytest.mark.parametrize("checks", [5, 6, 7, 9])
@pytest.mark.parametrize("method", ["fast", "yopo-attack-1-2"])
def test_units_of_watched_mini_batches_do_not_depend_on_where_a_run_was_stopped(runs, method, checks):
    config = change_config(runs.config, curve_every=3, method=method, cosine_every=2)
    whole = runs.finished("whole", config)
    resumed = runs.resumed("parts", config, checks)
    assert_equal(units(resumed), units(whole))


def test_counting_changes_nothing(runs, monkeypatch):
    for method in ("yopo-2-2", "deep-2"):
        counted = everything(runs.finished(f"counted {method}", change_config(runs.config, method=method, alpha=0.03)))
        with monkeypatch.context() as patch:
            patch.setattr("yopo_ext.training.loop.unit_counts.COUNTED", 0)
            bare = everything(runs.finished(f"bare {method}", change_config(runs.config, method=method, alpha=0.03)))
        assert "units" not in bare["log"][0]
        for record in counted["log"]:
            del record["units"], record["units_total"]
        assert_equal(counted, bare)


class Unseen(Recorder):
    """A graph's replay shows neither operators nor modules."""

    def __call__(self, function, generator):
        model = self.model

        def hidden():
            hooks = model._forward_hooks.copy(), model._forward_pre_hooks.copy()
            model._forward_hooks.clear(), model._forward_pre_hooks.clear()
            with _disable_current_modes():
                metrics = function()
            model._forward_hooks.update(hooks[0])
            model._forward_pre_hooks.update(hooks[1])
            return metrics

        return super().__call__(hidden, generator)


def test_replays_of_a_graph_cost_what_was_recorded(runs, monkeypatch):
    recorders = []

    def as_asked(config, adversary, generator, *_):
        recorders.append(Unseen(adversary.model))
        return GraphedAdversary(adversary, generator, recorders[-1])

    config = change_config(runs.config, method="yopo-2-2", limit_train=64)
    eager = runs.finished("eager", config)
    monkeypatch.setattr(compose, "_as_asked", as_asked)
    graphed = runs.finished("graphed", config)
    assert recorders[0].replayed > 8
    assert units(graphed) == units(eager)


class Elsewhere:
    """Never calls the network as a module."""

    replays = 1

    def __init__(self, model):
        self.model = model

    def accumulate(self, x, y):
        loss = nn.functional.cross_entropy(self.model.forward(x), y)
        loss.backward()
        return {"loss": loss.detach(), "count": torch.tensor(float(len(x)))}


def mini_batches():
    x = torch.rand((3, 4, 1, 4, 4), generator=torch.Generator().manual_seed(1))
    return [(one, torch.arange(4) % 3) for one in x]


def trained(model, adversary, **options):
    trainer = Trainer(model, adversary, mini_batches(), torch.optim.SGD(model.parameters(), 0.1), epochs=2, **options)
    trainer.fit()
    return trainer


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_what_cannot_be_counted_is_left_out():
    trainer = trained(model := linear(), Elsewhere(model))
    assert not {"units", "units_total"} & set(trainer.log[0])


def test_a_log_that_was_begun_without_units_has_no_total(tmp_path):
    trainer = trained(model := linear(), PGD(model, Ball(0.1, 0.1), 1), folder=tmp_path)
    share = 16 * 8 / (16 * 8 + 8 * 3)
    assert trainer.log[-1]["units_total"] == pytest.approx(2 * (5 - share), abs=1e-3)
    del trainer.log[-1]["units_total"]
    trainer.epochs = 3
    trainer.fit()
    assert trainer.log[-1]["units"] == pytest.approx(5 - share, abs=1e-4)
    assert "units_total" not in trainer.log[-1]


def test_a_network_that_is_compiled_stays_so(runs, monkeypatch):
    """Copies are counted: nothing looks on while the run's own passes run, or they would not be compiled."""
    calls = []

    def compiled(function, **options):
        def run(x):
            calls.append(torch._C._len_torch_dispatch_stack())
            return function(x)

        return run

    config = change_config(runs.config, method="pgd-2", curve_every=3, amp="fp16")
    eager = everything(runs.finished("eager", config))
    monkeypatch.setattr(torch, "compile", compiled)
    found = everything(runs.finished("compiled", change_config(config, compile=True)))
    assert set(calls) == {0}
    del eager["events"], found["events"]
    assert_equal(found, eager)


def test_a_copy_that_cannot_be_made_costs_nothing():
    model = linear()
    model.lock = (one for one in ())  # generators cannot be copied
    adversary = PGD(model, Ball(0.1, 0.1), 1)
    model[1].compile(backend="eager")
    assert "units" not in trained(model, adversary).log[0]
