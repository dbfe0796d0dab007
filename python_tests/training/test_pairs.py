# SPDX-License-Identifier: MIT
"""Every two values of two settings in one short run: it trains, resumes bit for bit, and ignores nothing."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from pairs import pairwise
from same_runs import assert_equal, everything, without_clocks

from yopo_ext.data import Dataset, ImageSet
from yopo_ext.training import Interrupted, Run, change_config, make_config
from yopo_ext.training.config.layout import KINDS, homes, source_homes

BASE = make_config(
    method="yopo-2-1", eps=0.1, alpha=0.05, epochs=3, batch_size=8, lr=0.02, milestones=(2,), curve_images=8,
    curve_steps=1, eval_steps=1,
)  # fmt: skip
#: Methods with their numbers, small ones.
WRITTEN = {"yopo": "yopo-2-1", "pgd": "pgd-2", "free": "free-2", "trades": "trades-2", "trades-yopo": "trades-yopo-2-1",
           "deep": "deep-2", "yopo-attack": "yopo-attack-2-1", "free-yopo": "free-yopo-2-1"}  # fmt: skip
#: Images (C, H, W), classes.
SETS = {"digits": (1, 8, 8, 10), "two classes": (2, 8, 8, 2), "four channels": (4, 8, 8, 5)}
VALUES = {
    "set": list(SETS),
    "method": [
        "yopo",
        "natural",
        "fast",
        "n-fgsm",
        "pgd",
        "free",
        "trades",
        "trades-yopo",
        "deep",
        "yopo-attack",
        "free-yopo",
    ],
    "start": ["uniform", "class", "momentum"],
    "start_decay": [0.3, 0.6],
    "consistency": [0.0, 0.5],
    "consistency_outputs": ["graph", "detached"],
    "consistency_ramp": [0.0, 2.0],
    "objective": [None, "cross-entropy", "trades", "reverse-cross-entropy"],
    "norm": ["linf", "l2"],
    "bn_mode": [None, "train", "eval"],
    "reduction": ["mean", "sum"],
    "first_layer_grad": ["hamiltonian", "backprop", "both"],
    "bn_statistics": ["frozen", "batch"],
    "keep_eta": [True, False],
    "form": ["residual", "recursive"],
    "penalties": [(1.0,), (4.0,)],
    "hidden_eps": [None, 0.1],
    "beta": [6.0, 1.0],
    "label_smoothing": [0.0, 0.1],
    "smoothing_kind": ["uniform", "zipf"],
    "eps_warmup_epochs": [0.0, 1.0],
    "steps_warmup_epochs": [0.0, 1.0],
    "delay": [None, 1, "auto"],
    "augment": [False, True],
    "mixup": [None, 0.4],
    "held_out": [0, 8],
    "patience": [None, 1],
    "drop_last": [False, True],
    "activation": ["relu", "tanh"],
    "mean": [None, 0.5],
    "memory_format": ["channels_last", "contiguous"],
    "optimizer": ["sgd", "nesterov", "adam", "adamw"],
    "momentum": [0.9, 0.5],
    "centralize": ["none", "convolutions", "all"],
    "schedule": ["piecewise", "cosine", "one-cycle", "cyclic"],
    "first_layer_milestones": [None, (1,)],
    "cut": [None, "features.maxpool"],
    "lr_decay": [0.1, 0.5],
    "lr_batch": [None, 16],
    "warmup_epochs": [0.0, 1.0],
    "accumulate": [1, 2],
    "clip_grad_norm": [None, 0.05],
    "ewa_decay": [0.0, 0.5],
    "staleness_every": [None, 2],
    "cosine_every": [None, 1],
    "on_overfitting": ["warn", "restart"],
    "attack_in_kernel": ["auto", "off"],
    "curve_every": [1, 2],
    "amp": ["off", "bf16", "fp16"],
    "profile": [False, True],
}


#: They belong to a method, an objective, an optimiser or a schedule, and are refused beside another.
OF_A_CHOICE = {name for name, found in homes().items() if found[0].section in KINDS}


def config_of(row):
    """Raises where a value that is not the plain one is not read."""
    changes = {
        name: value
        for name, value in row.items()
        if name != "set" and (name not in (*OF_A_CHOICE, "objective") or value != VALUES[name][0])
    }
    if changes.get("mean") is not None:
        channels = SETS[row.get("set", "digits")][0]
        changes |= {"mean": (0.5,) * channels, "std": (0.25,) * channels}
    return change_config(BASE, **{**changes, "method": WRITTEN.get(row["method"], row["method"])})


#: Each of their passes is on perturbed images, and TRADES asks for the outputs at the clean ones too.
ONE_PASS = {"yopo", "free", "free-yopo", "deep"}


#: What a setting needs beside it to mean anything.
BESIDE = {
    "start_decay": {"start": "momentum"}, "consistency_outputs": {"consistency": 0.5}, "patience": {"held_out": 8},
    "consistency_ramp": {"consistency": 0.5}, "smoothing_kind": {"label_smoothing": 0.1},
}  # fmt: skip


def is_allowed(row):
    """Whether some configuration takes it, and every value that is not the plain one is read."""
    if "method" not in row:
        return any(is_allowed({**row, "method": method}) for method in VALUES["method"])
    if row["method"] in ONE_PASS and (row.get("objective") == "trades" or row.get("beta", 6.0) != 6.0):
        return False
    if row["method"] in ("free", "free-yopo") and row.get("accumulate", 1) > 1:
        return False
    needed = [BESIDE[name] for name in ("patience", "smoothing_kind", "consistency_outputs") if name in row]
    try:
        config_of(dict(pair for one in [*needed, row] for pair in one.items()))
    except ValueError:
        return False
    return True


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
    counts = {"m", "n", "pgd_steps", "iterations"}
    sizes = {"eps", "alpha", "epochs", "batch_size", "lr", "weight_decay", "milestones"}
    measuring = {"curve_images", "curve_steps", "eval_steps", "eval_alpha", "keep_epochs", "log_every"}
    averaging = {"ewa_warmup", "ewa_bn_batches", "curve_last_weights"}
    images = {"dataset", "data_dir", "limit_train", "limit_eval", "model", "std", *source_homes()}
    elsewhere = {"compile", "cuda_graph", "sync_bn", "seed", "device", "tensorboard", "log_every_minutes"}
    answering = {"most_restarts"}
    resizing = {"progressive_sizes", "progressive_epochs"}
    networks = {
        "first_layer", "init_weights", "num_classes", "chain", "members", "entropy_weight", "diversity_weight", "head",
        "feature_dim", "centre_norm", "sigma", "offset",
    }  # fmt: skip
    crossed = set(VALUES) - {"set"}
    others = counts | sizes | measuring | averaging | answering | resizing | images | networks | elsewhere
    assert crossed | others == {*KINDS, *homes()}


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_short_run_of_every_pair(tmp_path, row, runs):
    config, data = config_of(row), data_of(row)

    def run(name, stop=None):
        return Run(config, tmp_path / name, data, show=row["profile"], stop=stop)

    whole = run("whole")
    whole.fit()
    assert all(math.isfinite(line["loss"]) for line in whole.trainer.log)
    with pytest.raises(Interrupted):
        run("parts", runs.stop_after(2)).fit()
    resumed = run("parts")
    resumed.resume()
    resumed.fit()
    found, expected = everything(resumed.trainer), everything(whole.trainer)
    for one in (found, expected):
        one["log"] = without_clocks(one["log"], ("spans",))
    assert_equal(found, expected)


#: They change how fast a run is, not what it computes; or what this network has none of, or what others test.
WITHOUT_EFFECT = {
    "set", "method", "memory_format", "bn_mode", "bn_statistics", "held_out", "patience", "on_overfitting",
    "attack_in_kernel",
}  # fmt: skip
CHANGES = [
    (name, value)
    for name, plain in VALUES.items()
    if name not in WITHOUT_EFFECT
    for value in plain[1:]
    if value != "cross-entropy"  # what the methods that take it train with anyway
]


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=lambda part: str(part))
def test_nothing_is_ignored(tmp_path, name, value):
    row = {"set": "digits", "held_out": 0, **BESIDE.get(name, {})}
    # On clean images alone every objective is the cross entropy.
    methods = [one for one in VALUES["method"] if (name, one) != ("objective", "natural")]
    row["method"] = next(one for one in methods if is_allowed({**row, "method": one, name: value}))
    runs = []
    for changed in ({**row, name: VALUES[name][0]}, {**row, name: value}):
        trainer = Run(config_of(changed), tmp_path, data_of(row), show=name == "profile").trainer
        trainer.fit()
        runs.append({"weights": trainer.measured_model.state_dict(), "log": everything(trainer)["log"]})
        for file in tmp_path.iterdir():
            file.unlink()
    with pytest.raises(AssertionError):
        assert_equal(*runs)


@pytest.mark.parametrize("method", sorted(ONE_PASS))
def test_an_objective_of_two_passes_is_refused_before_any_work(tmp_path, method):
    row = {"set": "digits", "method": method, "objective": "trades", "held_out": 0}
    with pytest.raises(ValueError, match=r"loss: got Trades\(.*\), which asks for the outputs at the clean images"):
        Run(config_of(row), tmp_path / "run", data_of(row), show=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["yopo", "pgd", "trades-yopo", "deep"])
def test_batch_norm_everywhere_on_images_that_are_not_square(tmp_path, method):
    pixels = torch.randint(0, 256, (12, 2, 8, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = ImageSet(pixels, torch.arange(12) % 2, 2)
    config = change_config(BASE, model="preactresnet18", method=WRITTEN[method], epochs=1, batch_size=6, milestones=())
    trainer = Run(config, tmp_path, Dataset("wide", images, images.take(4)), show=False).trainer
    trainer.fit()
    assert math.isfinite(trainer.log[0]["loss"])
    with pytest.raises(ValueError, match="model 'digits-cnn' takes 8x8 images, these are 8x12"):
        Run(change_config(config, model="digits-cnn"), tmp_path, Dataset("wide", images, images), show=False)
