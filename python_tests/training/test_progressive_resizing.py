# SPDX-License-Identifier: MIT
"""Small images first: what is trained on, what it costs, and all kinds of runs."""

import functools

import pytest
import torch
from growing_runs import growing, spied
from played_graph import Recorder
from same_runs import assert_equal, everything
from torch.nn import functional as F

from yopo_ext.adversaries.method import METHODS
from yopo_ext.data.shrink import shrink
from yopo_ext.training import change_config
from yopo_ext.training.loop import GraphedAdversary
from yopo_ext.training.runs import compose
from yopo_ext.units import UnitCounter

#: Methods with their numbers, small ones.
WRITTEN = {"pgd": "pgd-2", "free": "free-2", "trades": "trades-2", "trades-yopo": "trades-yopo-2-1", "deep": "deep-2",
           "yopo": "yopo-2-1", "yopo-attack": "yopo-attack-1-2", "free-yopo": "free-yopo-2-1"}  # fmt: skip


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
