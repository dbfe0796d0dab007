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
from yopo_ext.training import Run, Trainer, change_config
from yopo_ext.training.events.progressive_resizing import ProgressiveResizing, shrink
from yopo_ext.training.loop import GraphedAdversary
from yopo_ext.training.runs import compose
from yopo_ext.units import UnitCounter

GROWING = {"model": any_size_net.NAME, "progressive_sizes": (4, 6), "progressive_epochs": (1, 1), "curve_every": 3}
#: Methods with their numbers, small ones.
WRITTEN = {"pgd": "pgd-2", "free": "free-2", "trades": "trades-2", "trades-yopo": "trades-yopo-2-1", "deep": "deep-2",
           "yopo": "yopo-2-1", "yopo-attack": "yopo-attack-1-2", "free-yopo": "free-yopo-2-1"}  # fmt: skip


def growing(runs, **changes):
    changes = {"method": "fast", **changes}
    return change_config(runs.config, alpha=0.03, **GROWING, **changes)


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
    runs.interrupted("parts", config, checks)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit()
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
    assert recorders[0].replayed == 3 * (6 * graphed.adversary.replays - 3)
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
    "progressive_epochs: got (1,) with progressive_sizes (), expected some of them": {"progressive_epochs": (1,)},
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
    "progressive_sizes: got start previous-epoch, which remembers perturbations of one size, expected one of uni": {
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
    with pytest.raises(ValueError, match=r"progressive_sizes: got 9 for images \(2, 1, 8, 8\), expected square ones"):
        runs.run("run", change_config(config, progressive_sizes=(4, 9)))
    pixels = torch.zeros(16, 1, 8, 12, dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(16) % 10, 10)
    with pytest.raises(ValueError, match=r"progressive_sizes: got 6 for images \(2, 1, 8, 12\), expected square ones"):
        Run(config, runs.root / "run", Dataset("wide", images, images), show=False)
    # On one pixel batch norm has one value of the image that is left alone.
    config = change_config(config, progressive_sizes=(1,), progressive_epochs=(1,), limit_train=33)
    with pytest.raises(ValueError, match=r"33 mod 16 = 1 leaves one image .* cannot be trained on 1 x 1 pixels; exp"):
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
        ((), (), "progressive_sizes: got none, expected one or several"),
        ((4, 4), (1, 1), "progressive_sizes: got 4 4, expected"),
        ((4,), (1, 1), "progressive_epochs: got 1 1 for the sizes 4"),
        ((0,), (1,), "sizes: got 0, expected at least 1"),
        ((4,), (0,), "epochs: got 0, expected at least 1"),
    ],
)
def test_wrong_sizes_in_python(sizes, epochs, text):
    with pytest.raises(ValueError, match=text):
        ProgressiveResizing(sizes, epochs)
