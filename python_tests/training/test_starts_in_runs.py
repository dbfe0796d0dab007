# SPDX-License-Identifier: MIT
"""Starts that remember in a run: their memory is in the checkpoint, in recorded passes, and said before it is taken."""

import dataclasses

import pytest
import torch
from passes import batch, relu_net, seeded
from played_graph import Recorder
from same_runs import assert_equal, everything

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM
from yopo_ext.adversaries.consistency import Consistency
from yopo_ext.adversaries.starts import Momentum, PreviousBatch, Uniform
from yopo_ext.data import Batch, Dataset
from yopo_ext.data.augment import draw_placement, place
from yopo_ext.data.stored_images import StoredImageSet
from yopo_ext.training import Run, Trainer, change_config, make_config
from yopo_ext.training.loop.cuda_graph import WARM_UP, GraphedAdversary
from yopo_ext.training.loop.rehearsal import rehearsed_units

RUNS = {
    "previous-epoch": {"augment": True, "consistency": 0.5, "consistency_ramp": 2.5, "accumulate": 2},
    "momentum": {"augment": True, "start_decay": 0.6, "norm": "l2", "eps": 0.5, "amp": "fp16", "delay": 1},
    "class": {"consistency": 0.5, "consistency_outputs": "detached", "eps_warmup_epochs": 2},
    "shared": {"method": "yopo-attack-1-2", "consistency": 0.5, "amp": "bf16", "limit_train": 33},
    "previous-batch": {"method": "pgd-2", "bn_mode": "eval"},
}


@pytest.mark.parametrize("start", RUNS)
def test_a_run_resumes_bit_for_bit(runs, start):
    config = change_config(runs.config, **{"method": "fast", "start": start, **RUNS[start]})
    whole = runs.finished("whole", config)
    resumed = runs.resumed("parts", config, 3 if config["accumulate"] > 1 else 6)
    assert_equal(everything(resumed), everything(whole))
    assert_equal(resumed.adversary.state_dict(), whole.adversary.state_dict())
    assert any(one.any() for one in whole.adversary.state_dict().values())
    assert f", start {start}" in config.label


def test_the_ramp_grows_in_a_line(runs):
    trainer = runs.trainer(method="fast", consistency=2.0, consistency_ramp=2.0)
    shares, accumulate = [], trainer.adversary.accumulate

    def spy(x, y):
        shares.append(trainer.adversary.consistency.share)
        return accumulate(x, y)

    trainer.adversary.accumulate = spy
    trainer.fit()
    assert shares == pytest.approx([min(1.0, (step + 0.5) / 8) for step in range(12)])


@pytest.mark.parametrize("kind", ["momentum", "previous-batch"])
def test_recorded_passes_read_which_images_come_next(kind):
    x, y = batch(9)
    made = {
        "momentum": lambda: Momentum(9, (2, 6, 6), padding=4, generator=seeded()),
        "previous-batch": lambda: PreviousBatch(seeded()),
    }[kind]
    plain, inner = (FGSM(relu_net(), Ball(0.06, 0.05), start=made(), consistency=Consistency(0.5)) for _ in range(2))
    recorder, draws = Recorder(), seeded(5)
    graphed = GraphedAdversary(inner, torch.Generator(), recorder)
    for step in range(2 * (WARM_UP + 3)):
        # The memory of rows is made by the first mini-batch, and recorded passes would miss that.
        index = torch.randperm(9, generator=draws)[: 2 if step == 4 else 6]
        placement = draw_placement(x[index], draws)
        one = Batch(place(x[index], placement), y[index], index, placement)
        for adversary in (plain, graphed):
            adversary.see(one)
            adversary.accumulate(one.x, one.y)
            adversary.settle()
        assert_equal(inner.state_dict(), plain.state_dict())
    assert recorder.recorded == 1
    assert recorder.replayed > 3


def test_a_rehearsal_leaves_the_memory_alone(runs):
    """Units of compiled runs are counted on copies, of which none may take or ask for a memory."""
    trainer = runs.trainer(method="fast", start="momentum", augment=True)
    first = next(iter(trainer.batches))
    before = [one.clone() for one in trainer.adversary.state_dict().values()]

    def accumulate(adversary, x, y, weights):
        assert isinstance(adversary.start, Uniform)
        return adversary.accumulate(x, y)

    assert 4 < rehearsed_units(trainer.model, trainer.adversary, first, first.x, first.y, accumulate) < 5
    assert all(map(torch.equal, before, trainer.adversary.state_dict().values()))


def test_its_size_is_said_before(runs, capsys):
    config = change_config(runs.config, method="fast", start="momentum", augment=True)
    Run(config, runs.root / "run", runs.data(config))
    # 56 images of 1 × 16 × 16 with their padding: a byte each, and a momentum of two.
    assert "FastAT, start momentum: start momentum: remembers 0.043 MB, on cpu" in capsys.readouterr().out
    assert 56 * 16 * 16 * 3 == 43008


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"method": "yopo", "start": "zero"},
            "start: got zero with method yopo, whose start is its own; expected one of",
        ),
        ({"method": "n-fgsm", "start": "class"}, "start: got class with method n-fgsm"),
        (
            {"method": "fast", "start": "momentum", "mixup": 0.4},
            "start: got momentum, which remembers images of the set",
        ),
        (
            {"method": "fast", "start": "class", "mixup": 0.4},
            "start: got class, which needs one class an image, with mix",
        ),
        ({"method": "fast", "start": "zero", "start_decay": 0.5}, "start_decay: start zero has no such setting"),
        ({"method": "fast", "start": "here"}, "start: got 'here', expected one of uniform|start: got 'here'"),
        ({"method": "fast", "consistency_ramp": 2.0}, "consistency_ramp: got 2 without a consistency"),
        ({"method": "fast", "consistency": 1.0, "consistency_ramp": 99.0}, "consistency_ramp: got 99 epochs, expected"),
        (
            {"method": "fast", "consistency": 1.0, "consistency_ramp": 3.0, "delay": 2, "epochs": 4},
            "consistency_ramp: got 3 epochs, after a delay of up to 2, expected at most the 4 of the run",
        ),
        ({"method": "natural", "consistency": 1.0}, "consistency: method natural has no such setting"),
    ],
)
def test_what_is_refused_before_work_starts(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings)


def test_resized_crops_are_refused(runs):
    config = change_config(runs.config, method="fast", start="previous-epoch", augment=True)
    data = runs.data(config)
    train = StoredImageSet(data.train.images, data.train.labels, 10)
    with pytest.raises(ValueError, match="start: got previous-epoch with crops of digits that are resized"):
        Run(config, runs.root / "run", Dataset("digits", train, data.test), show=False)


def test_another_method_drops_the_start(runs):
    config = change_config(runs.config, method="fast", start="class", start_decay=0.5, consistency=1.0)
    assert change_config(config, method="natural")["start"] == "uniform"
    assert change_config(config, epochs=9)["start_decay"] == 0.5


def test_mini_batches_of_ones_own_without_an_index(runs):
    run = runs.run(method="fast", start="previous-epoch")
    trainer = run.trainer
    own = [tuple(dataclasses.replace(one)) for one in trainer.batches]
    other = Trainer(trainer.model, trainer.adversary, own, trainer.optimizer, epochs=1)
    with pytest.raises(ValueError, match="start: got a mini-batch without an index"):
        other.fit()
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
