# SPDX-License-Identifier: MIT
"""float16, mixup, accumulation and clipping in a compiled run, and in one that replays its mini-batches."""

import batch_norm_net
import pytest
import torch
from played_graph import Recorder
from same_runs import assert_equal, everything

from yopo_ext.training import change_config
from yopo_ext.training.loop import GraphedAdversary
from yopo_ext.training.runs import compose

CASES = {
    "fp16, mixup, batch norm": {"amp": "fp16", "mixup": 0.4, "accumulate": 2, "model": batch_norm_net.NAME},
    "fp16, both gradients": {"amp": "fp16", "first_layer_grad": "both", "clip_grad_norm": 0.5},
    "fp16, trades-yopo": {"amp": "fp16", "method": "trades-yopo-2-2", "accumulate": 2},
    "fp16, yopo-attack": {"amp": "fp16", "method": "yopo-attack-1-2", "accumulate": 2, "mixup": 0.4},
    "fp16, free-yopo": {"amp": "fp16", "method": "free-yopo-2-2", "keep_eta": False},
    "fp16, free": {"amp": "fp16", "method": "free-2"},
    "bf16, mixup, pgd": {"amp": "bf16", "mixup": 0.4, "method": "pgd-2", "accumulate": 3},
    "mixup, natural": {"mixup": 0.4, "method": "natural", "accumulate": 2, "clip_grad_norm": 0.05},
}


@pytest.fixture(params=CASES)
def config(request, runs, monkeypatch):
    """Seven mini-batches, the last one smaller; some of the float16 steps are skipped."""
    made = torch.amp.GradScaler
    monkeypatch.setattr("torch.amp.GradScaler", lambda device: made(device, init_scale=2.0**20, growth_interval=3))
    changes = {"alpha": 0.03, "epochs": 1, "milestones": (), "batch_size": 6, "limit_train": 40, "limit_eval": 4}
    changes |= CASES[request.param]
    return change_config(runs.config, **changes)


def skipped(config, trainer):
    return config.speed.amp != "fp16" or trainer.log[-1]["skipped_steps"] > 0


def assert_same(found, expected):
    """A graph has a generator, whether the method draws or not."""
    assert_equal({**found, "generator": None if expected["generator"] is None else found["generator"]}, expected)


def graphed(monkeypatch):
    """Runs from here on replay what stands in for a graph; the list is of their recorders."""
    recorders = []

    def as_asked(config, adversary, generator, *_):
        recorders.append(Recorder(adversary.model))
        return GraphedAdversary(adversary, generator, recorders[-1])

    monkeypatch.setattr(compose, "_as_asked", as_asked)
    return recorders


def test_replayed_steps_are_eager_ones_and_resume(runs, monkeypatch, config):
    eager = runs.finished("eager", config)
    assert skipped(config, eager)
    expected = everything(eager)
    recorders = graphed(monkeypatch)
    assert_same(everything(runs.finished("graphed", config)), expected)
    replays = eager.adversary.replays
    # The mini-batches of the first shape, without those before the recording; a recorded one runs at once.
    assert (recorders[0].recorded, recorders[0].replayed) == (1, (6 - 3) * replays)
    resumed = runs.resumed("parts", config, 2)
    assert_same(everything(resumed), expected)


def test_a_compiled_run_is_the_eager_one_and_with_mixup_resumes(runs, monkeypatch, config):
    """As in test_compiled.py: traced and differentiated as ever, and run without generated code."""
    eager = runs.finished("eager", config)
    expected, graphs, compile = everything(eager), [], torch.compile

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **options: compile(function, backend=counted, **options))
    torch._dynamo.reset()
    config = change_config(config, compile=True)
    whole = everything(runs.finished("compiled", config))
    assert graphs
    for part in ("model", "optimizer", "precision", "log"):
        assert_equal(whole[part], expected[part], part)
    if config.data.mixup is None:
        return
    resumed = runs.resumed("parts", config, 2)
    assert_equal(everything(resumed), whole)
