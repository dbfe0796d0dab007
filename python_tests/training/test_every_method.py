# SPDX-License-Identifier: MIT
"""Each method in the trainer: full passes counted, η remembered, settings that reach it, resumed bit for bit."""

import batch_norm_net
import pytest
import torch
from same_runs import assert_equal, everything

from yopo_ext.adversaries import FGSM, NFGSM, TRADES, TRADESYOPO, Free, FreeYOPO, YOPOAttack
from yopo_ext.adversaries.method import METHODS
from yopo_ext.adversaries.starts import Zero
from yopo_ext.ball import Ball
from yopo_ext.training import Event, Run, change_config, make_config, parse_method

# method -> (forward, backward) passes a mini-batch; what crafts counts too.
PASSES = {
    "natural": (1, 1),
    "fast": (2, 2),
    "n-fgsm": (2, 2),
    "pgd-3": (4, 4),
    "deep-2": (2 + 1, 2 + 1),  # beside the line searches' forward passes
    "free-2": (2, 2),
    "yopo-2-2": (2, 2),
    "free-yopo-2-2": (2, 2),
    "yopo-attack-2-2": (2 + 1, 2 + 1),
    "trades-3": (1 + 3 + 2, 3 + 2),
    "trades-yopo-2-2": (1 + 2 + 2, 2 + 2),
}


def test_no_method_is_forgotten():
    assert {parse_method(name)["method"] for name in PASSES} == set(METHODS.names)


@pytest.mark.parametrize("method", PASSES)
def test_full_passes_a_mini_batch(runs, method):
    trainer = runs.trainer(method=method, alpha=0.03, epochs=1)
    counts = {"forward": 0, "backward": 0}

    def forward(module, args, output):
        if trainer.model.training or torch.is_grad_enabled() or method.startswith("trades"):
            counts["forward"] += 1

    def backward(module, gradient):
        counts["backward"] += 1

    last = trainer.model.classifier.fc2
    last.register_forward_hook(forward)
    last.register_full_backward_pre_hook(backward)
    trainer.position = 1  # the loop has counted it
    trainer.step(next(iter(trainer.batches)))
    assert (counts["forward"], counts["backward"]) == PASSES[method]


@pytest.mark.parametrize("method", PASSES)
def test_every_method_learns_and_resumes_bit_for_bit(runs, method):
    config = change_config(runs.config, method=method, alpha=0.03)
    whole = runs.finished("whole", config)
    assert whole.log[-1]["loss"] < whole.log[0]["loss"]
    expected = everything(whole)
    runs.interrupted("parts", config, 6)
    torch.manual_seed(12345)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed), expected)


EXTRAS = [
    {"method": "free-2", "delay": 1},
    {"method": "pgd-3", "delay": "auto", "steps_warmup_epochs": 1, "bn_mode": "eval"},
    {"optimizer": "adamw", "lr": 1e-3, "schedule": "cosine", "ewa_decay": 0.9},
    {"optimizer": "adam", "lr": 1e-3, "schedule": "one-cycle", "label_smoothing": 0.1},
    {"optimizer": "nesterov", "schedule": "cyclic", "eps_warmup_epochs": 2, "warmup_epochs": 1.5},
    {"method": "trades-yopo-2-2", "beta": 1.0, "staleness_every": 2, "ewa_decay": 0.5},
    {"model": batch_norm_net.NAME, "first_layer_grad": "both", "staleness_every": 2, "ewa_decay": 0.5},
    {"model": batch_norm_net.NAME, "bn_statistics": "batch"},
    {"model": batch_norm_net.NAME, "method": "trades-yopo-2-2", "bn_mode": "train"},
    {"model": batch_norm_net.NAME, "method": "yopo-attack-1-2", "staleness_every": 2, "objective": "trades"},
    {"model": batch_norm_net.NAME, "method": "free-yopo-2-2", "keep_eta": False, "first_layer_grad": "both"},
    {"method": "free-yopo-2-1", "bn_statistics": "batch", "delay": 1, "staleness_every": 2},
    {"method": "yopo-attack-2-1", "start": "zero", "bn_mode": "eval", "eps_warmup_epochs": 2},
]


@pytest.mark.parametrize("extras", EXTRAS, ids=lambda extras: ", ".join(map(str, extras.values())))
def test_the_bag_of_tricks_resumes_bit_for_bit(runs, extras):
    config = change_config(runs.config, **extras)
    whole = runs.finished("whole", config)
    expected = everything(whole)
    resumed = runs.resumed("parts", config, 7)
    assert_equal(everything(resumed), expected)
    assert ("averaging" in expected["events"]) == ("ewa_decay" in extras)


def test_settings_reach_the_adversaries(runs):
    fast = runs.trainer(method="fast", alpha=0.125, bn_mode="eval", norm="l2").adversary
    assert isinstance(fast, FGSM)
    assert (fast.steps, fast.ball, fast.bn_mode) == (1, Ball(0.1, 0.125, norm="l2"), "eval")
    noisy = runs.trainer(method="n-fgsm", alpha=0.1).adversary
    assert isinstance(noisy, NFGSM)
    assert (noisy.ball.alpha, noisy.noise, noisy.bn_mode) == (0.1, 2.0, "train")
    free = runs.trainer(method="free-4", alpha=0.1).adversary
    assert isinstance(free, Free)
    assert (free.replays, free.ball.alpha) == (4, 0.1)
    both = runs.trainer(method="trades-7", beta=3.0, label_smoothing=0.2).adversary
    assert isinstance(both, TRADES)
    assert (both.steps, both.bn_mode) == (7, "eval")
    assert (both.objective.beta, both.objective.label_smoothing) == (3.0, 0.2)
    crafted = runs.trainer(method="trades-yopo", m=3, n=4, bn_mode="train", bn_statistics="batch").adversary
    assert isinstance(crafted, TRADESYOPO)
    assert (crafted.m, crafted.n, crafted.bn_mode) == (3, 4, "train")
    assert crafted.first_layer.bn_statistics == "batch"
    apart = runs.trainer(method="yopo-attack", m=3, n=4, start="zero", bn_mode="eval", bn_statistics="batch").adversary
    assert isinstance(apart, YOPOAttack)
    assert (apart.m, apart.n, type(apart.start), apart.bn_mode) == (3, 4, Zero, "eval")
    assert apart.first_layer.bn_statistics == "batch"
    assert apart.ball.alpha == pytest.approx(2.5 / 3 / 4 * 0.1)
    stepping = runs.trainer(method="free-yopo", m=3, n=4, keep_eta=False, first_layer_grad="both").adversary
    assert isinstance(stepping, FreeYOPO)
    assert (stepping.replays, stepping.m, stepping.n, stepping.starts_anew) == (3, 3, 4, True)
    assert stepping.first_layer_grad == "both"
    assert stepping.ball.alpha == pytest.approx(0.1 / 4)
    kinds = [runs.trainer(bn_statistics=kind).adversary.first_layer.bn_statistics for kind in ("frozen", "batch")]
    assert kinds == ["frozen", "batch"]


def test_the_attack_grows(runs):
    trainer = runs.trainer(method="pgd-5", eps_warmup_epochs=2, steps_warmup_epochs=1)
    adversary, seen = trainer.adversary, []
    accumulate = adversary.accumulate

    def spy(x, y):
        seen.append((adversary.ball.eps, adversary.ball.alpha, adversary.steps))
        return accumulate(x, y)

    adversary.accumulate = spy
    trainer.fit()
    # Four mini-batches an epoch, each at its middle.
    assert [eps for eps, _, _ in seen] == pytest.approx([0.1 * min(1, (i + 0.5) / 8) for i in range(12)])
    assert all(alpha == pytest.approx(0.2 * eps) for eps, alpha, _ in seen)
    assert [steps for _, _, steps in seen] == [1, 3, 3, 5, *[5] * 8]


def test_what_is_measured_is_the_average(runs):
    trainer = runs.trainer(ewa_decay=0.9, ewa_warmup=False, epochs=1)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    weights = []

    class Spy(Event):
        def on_weights(self, trainer):
            weights.append(trainer.model.classifier.fc2.bias.detach().clone())

    trainer.events = (*trainer.events, Spy())
    trainer.fit()
    # The first update copies, as torch's averaged model does.
    expected = weights[0]
    for one in weights[1:]:
        expected = 0.9 * expected + 0.1 * one
    found = trainer.measured_model.classifier.fc2.bias
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, trainer.model.classifier.fc2.bias)
    assert not torch.equal(found, before["classifier.fc2.bias"])


@pytest.mark.parametrize("method", METHODS.names)
def test_a_digits_run_with_every_default(tmp_path, method):
    """Nothing is set but sizes: the defaults train, and each method's own step is taken."""
    config = make_config(method=method, epochs=12, limit_train=64, limit_eval=16, curve_every=12, curve_steps=1)
    trainer = Run(config, tmp_path, show=False).trainer
    trainer.fit()
    assert len(trainer.log) == 12
    assert trainer.log[-1]["loss"] < trainer.log[0]["loss"]
    name = config.method.name
    assert type(trainer.adversary).__name__.lower() == {"fast": "fgsm"}.get(name, name.replace("-", ""))
    if name != "natural":
        assert trainer.adversary.ball.eps == 0.15
        expected = {"fast": 1.25, "n-fgsm": 1.0, "free": 1.0, "deep": 1.0, "yopo-attack": 1.25 / 3}.get(name, 0.2)
        expected = 1 / 3 if name == "free-yopo" else expected
        assert trainer.adversary.ball.alpha == pytest.approx(expected * 0.15)
