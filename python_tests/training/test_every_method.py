# SPDX-License-Identifier: MIT
"""Each method in the trainer: full passes counted, η remembered, settings that reach it, resumed bit for bit."""

from dataclasses import replace

import pytest
import torch
from same_runs import assert_equal, everything

from yopo_ext.adversaries import FGSM, NFGSM, TRADES, TRADESYOPO, Free
from yopo_ext.training import StopRequest, Trainer, make_config
from yopo_ext.training.prepare_data import prepare_data

# method -> (forward, backward) passes a mini-batch with m=2, n=2, pgd_steps=3; what crafts counts too.
PASSES = {
    "natural": (1, 1),
    "fast": (2, 2),
    "n-fgsm": (2, 2),
    "pgd": (4, 4),
    "free": (2, 2),
    "yopo": (2, 2),
    "trades": (1 + 3 + 2, 3 + 2),
    "trades-yopo": (1 + 2 + 2, 2 + 2),
}
SETTINGS = {"pgd_steps": 3, "alpha": 0.03, "epochs": 1}


@pytest.mark.parametrize("method", PASSES)
def test_full_passes_a_mini_batch(runs, method):
    trainer = runs.trainer(method=method, **SETTINGS)
    counts = {"forward": 0, "backward": 0}

    def forward(module, args, output):
        if trainer.model.training or torch.is_grad_enabled() or method.startswith("trades"):
            counts["forward"] += 1

    def backward(module, gradient):
        counts["backward"] += 1

    last = trainer.model.classifier.fc2
    last.register_forward_hook(forward)
    last.register_full_backward_pre_hook(backward)
    x, y = next(iter(trainer.loader))
    trainer.train_on(trainer.adversary, x, y, len(x))
    assert (counts["forward"], counts["backward"]) == PASSES[method]


@pytest.mark.parametrize("method", PASSES)
def test_every_method_learns_and_resumes_bit_for_bit(runs, method):
    config = replace(runs.config, method=method, pgd_steps=3, alpha=0.03)
    whole = runs.finished("whole", config)
    assert whole.log[-1]["loss"] < whole.log[0]["loss"]
    expected = everything(whole)
    runs.interrupted("parts", config, 6)
    torch.manual_seed(12345)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit(StopRequest())
    assert_equal(everything(resumed), expected)


EXTRAS = [
    {"method": "free", "delay": 1},
    {"method": "pgd", "pgd_steps": 3, "delay": "auto", "steps_warmup_epochs": 1, "bn_mode": "eval"},
    {"optimizer": "adamw", "lr": 1e-3, "schedule": "cosine", "ewa_decay": 0.9},
    {"optimizer": "adam", "lr": 1e-3, "schedule": "one-cycle", "label_smoothing": 0.1},
    {"optimizer": "nesterov", "schedule": "cyclic", "eps_warmup_epochs": 2, "warmup_epochs": 1.5},
    {"method": "trades-yopo", "beta": 1.0, "staleness_every": 2, "ewa_decay": 0.5},
]


@pytest.mark.parametrize("extras", EXTRAS, ids=lambda extras: ", ".join(map(str, extras.values())))
def test_the_bag_of_tricks_resumes_bit_for_bit(runs, extras):
    config = replace(runs.config, **extras)
    whole = runs.finished("whole", config)
    expected = everything(whole)
    runs.interrupted("parts", config, 7)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit(StopRequest())
    assert_equal(everything(resumed), expected)
    if whole.average is not None:
        assert_equal(resumed.average.state_dict(), whole.average.state_dict())


def test_settings_reach_the_adversaries(runs):
    fast = runs.trainer(method="fast", alpha=0.125, bn_mode="eval", norm="l2").adversary
    assert isinstance(fast, FGSM)
    assert (fast.steps, fast.eps, fast.alpha, fast.bn_mode, fast.norm) == (1, 0.1, 0.125, "eval", "l2")
    noisy = runs.trainer(method="n-fgsm", alpha=0.1).adversary
    assert isinstance(noisy, NFGSM)
    assert (noisy.alpha, noisy.noise, noisy.bn_mode) == (0.1, 2.0, "train")
    free = runs.trainer(method="free", m=4, alpha=0.1).adversary
    assert isinstance(free, Free)
    assert (free.replays, free.alpha) == (4, 0.1)
    both = runs.trainer(method="trades", beta=3.0, label_smoothing=0.2, pgd_steps=7).adversary
    assert isinstance(both, TRADES)
    assert (both.steps, both.bn_mode, both.objective.keywords) == (7, "eval", {"beta": 3.0, "label_smoothing": 0.2})
    crafted = runs.trainer(method="trades-yopo", m=3, n=4, bn_mode="train").adversary
    assert isinstance(crafted, TRADESYOPO)
    assert (crafted.m, crafted.n, crafted.bn_mode) == (3, 4, "train")


def test_the_attack_grows(runs):
    config = {"method": "pgd", "pgd_steps": 5, "eps_warmup_epochs": 2, "steps_warmup_epochs": 1}
    trainer = runs.trainer(**config)
    seen = []
    run_on = trainer.train_on

    def spy(adversary, *batch):
        seen.append((adversary.eps, adversary.alpha, adversary.steps))
        return run_on(adversary, *batch)

    trainer.train_on = spy
    trainer.fit(StopRequest())
    # Four mini-batches an epoch, each at its middle.
    assert [eps for eps, _, _ in seen] == pytest.approx([0.1 * min(1, (i + 0.5) / 8) for i in range(12)])
    assert all(alpha == pytest.approx(0.2 * eps) for eps, alpha, _ in seen)
    assert [steps for _, _, steps in seen] == [1, 3, 3, 5, *[5] * 8]


def test_what_is_measured_is_the_average(runs):
    trainer = runs.trainer(ewa_decay=0.9, epochs=1)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    weights = []
    run_on = trainer.train_on

    def spy(*arguments):
        metrics = run_on(*arguments)
        weights.append(trainer.model.classifier.fc2.bias.detach().clone())
        return metrics

    trainer.train_on = spy
    trainer.fit(StopRequest())
    # The first update copies, as torch's averaged model does.
    expected = weights[0]
    for one in weights[1:]:
        expected = 0.9 * expected + 0.1 * one
    found = trainer.measured_model.classifier.fc2.bias
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, trainer.model.classifier.fc2.bias)
    assert not torch.equal(found, before["classifier.fc2.bias"])


@pytest.mark.parametrize("method", PASSES)
def test_a_digits_run_with_every_default(tmp_path, method):
    """Nothing is set but sizes: the defaults train, and each method's own step is taken."""
    config = make_config(method=method, epochs=12, limit_train=64, limit_eval=16, curve_every=12, curve_steps=1)
    trainer = Trainer(config, prepare_data(config), tmp_path, show=False)
    trainer.fit(StopRequest())
    assert len(trainer.log) == 12
    assert trainer.log[-1]["loss"] < trainer.log[0]["loss"]
    assert type(trainer.adversary).__name__.lower() == {"fast": "fgsm"}.get(method, method.replace("-", ""))
    if method != "natural":
        assert trainer.adversary.eps == 0.15
        expected = {"fast": 1.25 * 0.15, "n-fgsm": 0.15, "free": 0.15}.get(method, 0.03)
        assert trainer.adversary.alpha == pytest.approx(expected)
