# SPDX-License-Identifier: MIT
"""Every two values of two settings in one short run: it trains, resumes bit for bit, and ignores nothing."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import combinations

import pytest
import torch
from pairs import pairwise
from same_runs import assert_equal, everything

from yopo_ext.data import Dataset, ImageSet
from yopo_ext.training import StopRequest, TrainConfig, Trainer
from yopo_ext.training.method_settings import unread

BASE = TrainConfig(
    m=2, n=1, pgd_steps=2, eps=0.1, alpha=0.05, epochs=4, batch_size=8, lr=0.02, milestones=(2,), curve_images=8,
    curve_steps=1, eval_steps=1,
)  # fmt: skip
#: Images (C, H, W), classes.
SETS = {"digits": (1, 8, 8, 10), "two classes": (2, 8, 8, 2), "four channels": (4, 8, 8, 5)}
VALUES = {
    "set": list(SETS),
    "method": ["yopo", "natural", "fast", "n-fgsm", "pgd", "free", "trades", "trades-yopo"],
    "norm": ["linf", "l2"],
    "bn_mode": [None, "train", "eval"],
    "reduction": ["mean", "sum"],
    "first_layer_grad": ["hamiltonian", "backprop", "both"],
    "beta": [6.0, 1.0],
    "label_smoothing": [0.0, 0.1],
    "eps_warmup_epochs": [0.0, 1.0],
    "steps_warmup_epochs": [0.0, 1.0],
    "delay": [None, 1, "auto"],
    "augment": [False, True],
    "held_out": [0, 8],
    "patience": [None, 1],
    "drop_last": [False, True],
    "activation": ["relu", "tanh"],
    "mean": [None, 0.5],
    "memory_format": ["channels_last", "contiguous"],
    "optimizer": ["sgd", "nesterov", "adam", "adamw"],
    "momentum": [0.9, 0.5],
    "schedule": ["piecewise", "cosine", "one-cycle", "cyclic"],
    "first_layer_milestones": [None, (1,)],
    "lr_decay": [0.1, 0.5],
    "lr_batch": [None, 16],
    "warmup_epochs": [0.0, 1.0],
    "ewa_decay": [0.0, 0.5],
    "staleness_every": [None, 2],
    "curve_every": [1, 2],
    "amp": ["off", "bf16"],
    "profile": [False, True],
}


def config_of(row):
    changes = {name: value for name, value in row.items() if name != "set"}
    if "mean" in changes and changes["mean"] is not None:
        channels = SETS[row.get("set", "digits")][0]
        changes |= {"mean": (0.5,) * channels, "std": (0.25,) * channels}
    return replace(BASE, **changes)


def is_allowed(row):
    """Whether the configuration takes it, and every value that is not the plain one is read."""
    changed = {name for name, value in row.items() if value != VALUES[name][0] and name not in ("set", "method")}
    plain = {"held_out": 8, **row} if "patience" in row and "held_out" not in row else row
    try:
        config = config_of(plain)
    except ValueError:
        return False
    return not changed & set(unread(config.to_dict()))


ROWS = pairwise(VALUES, is_allowed)


def data_of(row):
    channels, height, width, classes = SETS[row["set"]]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (44, channels, height, width), generator=generator).to(torch.uint8)
    images = ImageSet(pixels, torch.arange(44) % classes, classes)
    parts = [images.select(torch.arange(start, stop)) for start, stop in ((0, 20), (20, 36), (36, 44))]
    return Dataset(row["set"], *parts[:2], parts[2] if row["held_out"] else None)


def test_rows_hold_every_pair_that_goes_together():
    met = {((a, repr(row[a])), (b, repr(row[b]))) for row in ROWS for a, b in combinations(VALUES, 2)}
    for a, b in combinations(VALUES, 2):
        for one in VALUES[a]:
            for other in VALUES[b]:
                if is_allowed({a: one, b: other}):
                    assert ((a, repr(one)), (b, repr(other))) in met


def test_every_setting_is_crossed_or_named_here():
    sizes = {"m", "n", "pgd_steps", "eps", "alpha", "epochs", "batch_size", "lr", "weight_decay", "milestones"}
    measuring = {"curve_images", "curve_steps", "eval_steps", "eval_alpha", "keep_epochs", "log_every"}
    images = {"dataset", "data_dir", "limit_train", "limit_eval", "model", "std"}
    elsewhere = {"compile", "cuda_graph", "seed", "device", "sync_bn"}
    crossed = set(VALUES) - {"set"}
    assert crossed | sizes | measuring | images | elsewhere == {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_short_run_of_every_pair(tmp_path, row, runs):
    config, data = config_of(row), data_of(row)

    def trainer(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return Trainer(config, data, tmp_path / name, show=False)

    whole = trainer("whole")
    whole.fit(StopRequest())
    assert all(math.isfinite(line["loss"]) for line in whole.log)
    stopped = trainer("parts")
    with pytest.raises(BaseException, match="interrupted"):
        stopped.fit(runs.stop_after(2))
    resumed = trainer("parts")
    resumed.resume()
    resumed.fit(StopRequest())
    kept = ("spans",)  # what clocks measured
    found, expected = everything(resumed), everything(whole)
    for one in (found, expected):
        one["log"] = [{name: value for name, value in line.items() if name not in kept} for line in one["log"]]
    assert_equal(found, expected)


#: They change how fast a run is, not what it computes; or what this network has none of, or what others test.
WITHOUT_EFFECT = {"set", "method", "memory_format", "bn_mode", "held_out", "patience"}
CHANGES = [(name, value) for name, plain in VALUES.items() if name not in WITHOUT_EFFECT for value in plain[1:]]


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=lambda part: str(part))
def test_nothing_is_ignored(tmp_path, name, value):
    row = {"set": "digits", "held_out": 0}
    row["method"] = next(one for one in VALUES["method"] if is_allowed({**row, "method": one, name: value}))
    runs = []
    for changed in ({**row, name: VALUES[name][0]}, {**row, name: value}):
        trainer = Trainer(config_of(changed), data_of(row), tmp_path, show=False)
        trainer.fit(StopRequest())
        runs.append({"weights": trainer.measured_model.state_dict(), "log": everything(trainer)["log"]})
        for file in tmp_path.iterdir():
            file.unlink()
    with pytest.raises(AssertionError):
        assert_equal(*runs)


@pytest.mark.parametrize("method", ["yopo", "pgd", "trades-yopo"])
def test_batch_norm_everywhere_on_images_that_are_not_square(tmp_path, method):
    pixels = torch.randint(0, 256, (12, 2, 8, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = ImageSet(pixels, torch.arange(12) % 2, 2)
    config = replace(BASE, model="preactresnet18", method=method, epochs=1, batch_size=6, milestones=())
    trainer = Trainer(config, Dataset("wide", images, images.take(4)), tmp_path, show=False)
    trainer.fit(StopRequest())
    assert math.isfinite(trainer.log[0]["loss"])
    with pytest.raises(ValueError, match="model 'digits-cnn' takes 8x8 images, these are 8x12"):
        Trainer(replace(config, model="digits-cnn"), Dataset("wide", images, images), tmp_path, show=False)
