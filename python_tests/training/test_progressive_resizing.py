# SPDX-License-Identifier: MIT
"""Small images first: what is trained on, what it costs, with all kinds of runs, and what is refused."""

import functools
import re

import any_size_net
import pytest
import torch
from played_graph import Recorder
from same_runs import assert_equal, everything
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from yopo_ext.adversaries import FGSM
from yopo_ext.adversaries.method import METHODS
from yopo_ext.ball import Ball
from yopo_ext.data import Dataset, ImageSet
from yopo_ext.data.shrink import shrink
from yopo_ext.training import Event, Run, Trainer, change_config
from yopo_ext.training.events.best import Best
from yopo_ext.training.events.event import in_order
from yopo_ext.training.events.progressive_resizing import ProgressiveResizing
from yopo_ext.training.loop import GraphedAdversary
from yopo_ext.training.runs import compose
from yopo_ext.units import UnitCounter

GROWING = {"model": any_size_net.NAME, "progressive_sizes": (4, 6), "progressive_epochs": (1, 1), "curve_every": 3}
#: Methods with their numbers, small ones.
WRITTEN = {"pgd": "pgd-2", "free": "free-2", "trades": "trades-2", "trades-yopo": "trades-yopo-2-1", "deep": "deep-2",
           "yopo": "yopo-2-1", "yopo-attack": "yopo-attack-1-2", "free-yopo": "free-yopo-2-1"}  # fmt: skip


def growing(runs, **changes):
    return change_config(runs.config, **{"alpha": 0.03, "method": "fast", **GROWING, **changes})


def spied(trainer):
    """The images of each mini-batch."""
    met, accumulate = [], trainer.adversary.accumulate

    def spy(x, y):
        met.append(x.clone())
        return accumulate(x, y)

    trainer.adversary.accumulate = spy
    return met


def test_images_are_shrunk_for_so_many_epochs(runs):
    config = growing(runs)
    trainer = runs.trainer("whole", change_config(config, progressive_sizes=(), progressive_epochs=()))
    whole = spied(trainer)
    trainer.fit()
    trainer = runs.trainer("small", config)
    small = spied(trainer)
    trainer.fit()
    assert [x.shape[-1] for x in small] == [4] * 4 + [6] * 4 + [8] * 4
    for ours, x in zip(small, whole, strict=True):
        size = ours.shape[-1]
        expected = F.interpolate(x, (size, size), mode="bilinear", antialias=True) if size < 8 else x
        torch.testing.assert_close(ours, expected)
    assert [record.get("image_size") for record in trainer.log] == [4, 6, None]


def test_shrunk_images_stay_within_their_values():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 3, 32, 32, generator=generator).round()  # where rounding shows
    x = torch.cat([x, torch.ones(1, 3, 32, 32) / 3, torch.full((1, 3, 32, 32), -7.1)])
    for size in (1, 7, 24, 31):
        small = shrink(x, size)
        assert (small.amin((2, 3)) >= x.amin((2, 3))).all()
        assert (small.amax((2, 3)) <= x.amax((2, 3))).all()


@pytest.mark.parametrize("method", ["fast", "yopo", "pgd"])
def test_units_are_passes_on_whole_images(runs, method):
    watched = {"cosine_every": 0} if METHODS[method].watched else {}
    trainer = runs.trainer("run", growing(runs, method=WRITTEN.get(method, method), **watched))
    trainer.fit()
    with UnitCounter(trainer.model) as counter:
        trainer.model(torch.rand(1, 1, 8, 8))
    whole, expected = counter.multiply_adds, []
    for size in (4, 6, 8):
        x, y = torch.rand(16, 1, size, size), torch.arange(16) % 10
        with UnitCounter(trainer.model) as counter:
            trainer.adversary.accumulate(x, y)
        expected.append(counter.multiply_adds / (16 * whole))
    assert [record["units"] for record in trainer.log] == pytest.approx(expected, rel=1e-3)
    assert trainer.log[0]["units"] < 0.3 * trainer.log[2]["units"]


EXTRAS = [
    {"mixup": 0.4, "accumulate": 2, "drop_last": True},
    {"delay": 1, "ewa_decay": 0.9, "ewa_bn_batches": 2, "augment": True},
    {"method": "n-fgsm", "eps_warmup_epochs": 1.5, "ewa_decay": 0.9, "amp": "bf16"},
    {"start": "zero", "consistency": 1.0, "consistency_ramp": 2.0, "held_out": 8},
    {"method": "pgd-2", "bn_mode": "eval", "cosine_every": 1, "on_overfitting": "restart"},
    {"method": "yopo-2-1", "staleness_every": 1, "first_layer_grad": "both", "memory_format": "contiguous"},
]


@pytest.mark.parametrize(
    "changes", [*({"method": WRITTEN.get(name, name)} for name in METHODS.names), *EXTRAS], ids=str
)
@pytest.mark.parametrize("checks", [2, 6])
def test_it_resumes_bit_for_bit(runs, changes, checks):
    config = growing(runs, **changes)
    whole = runs.finished("whole", config)
    resumed = runs.resumed("parts", config, checks)
    assert_equal(everything(resumed), everything(whole))
    assert all(record["units"] > 0 for record in whole.log)


@pytest.mark.parametrize("method", ["fast", "yopo", "free"])
def test_each_size_is_recorded(runs, monkeypatch, method):
    config = growing(runs, method=WRITTEN.get(method, method), limit_train=96)
    eager = runs.finished("eager", config)
    recorders = []

    def as_asked(config, adversary, generator, *_):
        recorders.append(Recorder(adversary.model))
        return GraphedAdversary(adversary, generator, recorders[-1])

    monkeypatch.setattr(compose, "_as_asked", as_asked)
    graphed = runs.finished("graphed", config)
    assert recorders[0].recorded == 3
    assert recorders[0].replayed == 3 * (6 - 3) * graphed.adversary.replays
    for name in ("model", "log"):
        assert_equal(everything(graphed)[name], everything(eager)[name], name)


def test_a_compiled_run_is_the_eager_one(runs, monkeypatch, caplog):
    config = growing(runs)
    eager, compile = runs.finished("eager", config), torch.compile
    shapes = []

    def counted(graph, inputs):
        shapes.extend(tensor.shape[-1] for tensor in inputs if tensor.dim() == 4 and tensor.shape[1] == 6)
        return graph.forward

    counted_compile = functools.wraps(compile)(lambda function, **more: compile(function, backend=counted, **more))
    monkeypatch.setattr(torch, "compile", counted_compile)
    torch._dynamo.reset()
    compiled = runs.finished("compiled", change_config(config, compile=True))
    assert "recompile_limit" not in caplog.text
    assert {4, 6, 8} <= set(shapes)
    for name in ("model", "log"):
        assert_equal(everything(compiled)[name], everything(eager)[name], name)


REFUSED = {
    "progressive_epochs: got (1,) with progressive_sizes (), expected progressive_sizes too": {
        "progressive_epochs": (1,)
    },
    "progressive_epochs: got none for the sizes 4, expected one number a size": {"progressive_sizes": (4,)},
    "progressive_epochs: got 1 for the sizes 4 6, expected": {"progressive_sizes": (4, 6), "progressive_epochs": (1,)},
    "progressive_sizes: got 6 4, expected one or several, each above the one before": {
        "progressive_sizes": (6, 4), "progressive_epochs": (1, 1),
    },
    "progressive_epochs: got 1 2, 3 in all, expected an end before the 3 epochs do": {
        "progressive_sizes": (4, 6), "progressive_epochs": (1, 2),
    },
    "progressive_sizes: got (0,), expected": {"progressive_sizes": (0,), "progressive_epochs": (1,)},
    "progressive_sizes: got norm l2, expected linf": {
        "progressive_sizes": (4,), "progressive_epochs": (1,), "norm": "l2",
    },
    "progressive_sizes: got start previous-epoch, which may remember perturbations of one size, expected one of u": {
        "progressive_sizes": (4,), "progressive_epochs": (1,), "start": "previous-epoch",
    },
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_settings_that_do_not_go_together_are_refused(runs, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        change_config(runs.config, **{"method": "fast", "model": any_size_net.NAME, **REFUSED[text]})


def test_images_and_networks_that_cannot_shrink_are_refused_before_the_folder_is_made(runs):
    config = growing(runs)
    with pytest.raises(ValueError, match="progressive_sizes: network digits-cnn does not take images of 4 x 4 pixels"):
        runs.run("run", change_config(config, model="digits-cnn"))
    with pytest.raises(ValueError, match="progressive_sizes: got 9 for images of 8 x 8 pixels, expected less"):
        runs.run("run", change_config(config, progressive_sizes=(4, 9)))
    pixels = torch.zeros(16, 1, 8, 12, dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(16) % 10, 10)
    with pytest.raises(ValueError, match="progressive_sizes: got 6 for images of 1 x 8 x 12, expected square ones"):
        Run(config, runs.root / "run", Dataset("wide", images, images), show=False)
    # On one pixel batch norm has one value of the image that is left alone.
    config = change_config(config, progressive_sizes=(1,), progressive_epochs=(1,), limit_train=33)
    with pytest.raises(ValueError, match=r"33 mod 16 = 1 leaves one image .* cannot be trained at 1 x 1 pixels; exp"):
        runs.run("run", config)
    assert not (runs.root / "run").exists()


def test_anybodys_trainer_takes_it(tmp_path):
    """Images in other bounds, a network that nobody knows by name; the loader may not know where it stands."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    pairs = [(torch.rand(3, 10, 10) * 4 - 2, index % 2) for index in range(12)]
    adversary = FGSM(model, Ball(0.1, 0.1, bounds=(-2.0, 2.0)))
    trainer = Trainer(
        model, adversary, DataLoader(pairs, 4), torch.optim.SGD(model.parameters(), 0.1), epochs=3,
        events=[ProgressiveResizing((5,), (2,))], amp="off",
    )  # fmt: skip
    met = spied(trainer)
    trainer.fit()
    assert [x.shape[-1] for x in met] == [5] * 6 + [10] * 3
    assert trainer.log[0]["units"] == pytest.approx(trainer.log[2]["units"] / 4, rel=0.02)


@pytest.mark.parametrize(
    ("sizes", "epochs", "text"),
    [
        ((), (), "sizes: got none, expected one or several"),
        ((4, 4), (1, 1), "sizes: got 4 4, expected one or several, each above the one before"),
        ((4,), (1, 1), "epochs: got 1 1 for the sizes 4"),
        ((0,), (1,), "sizes: got 0, expected at least 1"),
        ((4,), (0,), "epochs: got 0, expected at least 1"),
        (16, (5,), r"sizes: got 16, expected several whole numbers, as \(16, 24\)"),
        ((16,), "5", "epochs: got '5', expected several whole numbers"),
        (("4", "16"), (1, 1), "sizes: got '4', expected an int"),
        (iter((4, 6)), (1, 1), "sizes: got <tuple_iterator"),
    ],
)
def test_wrong_sizes_in_python(sizes, epochs, text):
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        ProgressiveResizing(sizes, epochs)


def conv_net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).to(dtype)  # fmt: skip


def trained(model, events, *, epochs=3, size=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.rand(4, 1, size, size, generator=generator).to(dtype), torch.tensor([0, 1, 0, 1]))] * 3
    trainer = Trainer(
        model, FGSM(model, Ball(0.1, 0.1), random_start=False), batches, torch.optim.SGD(model.parameters(), 0.1),
        epochs=epochs, events=events, amp="off",
    )  # fmt: skip
    trainer.fit()
    return trainer


def test_a_run_that_would_end_on_small_images_does_not_begin():
    with pytest.raises(ValueError, match=r"^epochs: got 2, 2 in all, expected an end before the 2 epochs do"):
        trained(conv_net(), [ProgressiveResizing((4,), (2,))], epochs=2)


def test_units_in_double_precision():
    log = trained(conv_net(torch.float64), [ProgressiveResizing((4,), (1,))], dtype=torch.float64).log
    assert log[0]["units"] == pytest.approx(log[2]["units"] / 4, rel=0.05)


class ForOneSize(nn.Module):
    """As vision transformers, which assert the size that they were made for."""

    def __init__(self):
        super().__init__()
        self.net = conv_net()

    def forward(self, x):
        assert x.shape[-1] == 8 or self.training, "made for 8"
        return self.net(x)


def test_what_cannot_be_counted_is_left_out():
    assert all("units" not in record for record in trained(ForOneSize(), [ProgressiveResizing((4,), (1,))]).log[:1])


@pytest.mark.parametrize("error", [AssertionError, ValueError, TypeError, RuntimeError])
def test_networks_refuse_a_size_in_many_ways(runs, monkeypatch, error):
    forward = any_size_net.AnySizeNet.forward

    def strict(self, x):
        if x.shape[-1] != 8:
            raise error("made for 8")
        return forward(self, x)

    monkeypatch.setattr(any_size_net.AnySizeNet, "forward", strict)
    text = r"progressive_sizes: network any-size-net does not take images of 4 x 4 pixels \(made for 8\)"
    with pytest.raises(ValueError, match=text):
        runs.run("run", growing(runs))


class Noise(Event):
    """Changes the images by what torch's global generator draws."""

    name = "noise"

    def __init__(self):
        self.seen = []

    def prepare(self, trainer, x):
        self.seen.append(len(x))
        return (x + 0.01 * torch.rand(x.shape)).clamp(0, 1)


def test_a_rehearsal_prepares_nothing_anew():
    losses, seen = [], []
    for on_copies in (False, True):
        noise, model = Noise(), conv_net()
        torch.manual_seed(1)
        generator = torch.Generator().manual_seed(0)
        batches = [(torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 2)] * 3
        trainer = Trainer(
            model, FGSM(model, Ball(0.1, 0.1), random_start=False), batches, torch.optim.SGD(model.parameters(), 0.1),
            epochs=2, events=[noise], amp="off",
        )  # fmt: skip
        trainer.units.on_copies = on_copies
        trainer.fit()
        losses.append([(record["loss"], record["units"]) for record in trainer.log])
        seen.append(noise.seen)
    assert losses[0] == losses[1]
    assert seen[0] == seen[1] == [12] * 6


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
