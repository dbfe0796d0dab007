# SPDX-License-Identifier: MIT
"""Presets: what the papers publish, and what stays of one beside settings of one's own."""

import pytest

from yopo_ext.training import PRESETS, make_config
from yopo_ext.training.config import differences
from yopo_ext.training.runs.job import natural_twin
from yopo_ext.training.runs.optimizer import learning_rates


def settings(config):
    return tuple(config[name] for name in ("model", "m", "n", "eps", "alpha", "batch_size", "lr", "epochs"))


PAPERS = {
    "mnist-yopo-5-10": ("smallcnn", 5, 10, 0.3, 0.01, 256, 0.01 / 5, 40),
    "cifar10-yopo-5-3": ("preactresnet18", 5, 3, 8 / 255, 2 / 255, 256, 0.2 / 5, 36),
    "cifar10-yopo-3-5": ("preactresnet18", 3, 5, 8 / 255, 2 / 255, 256, 0.2 / 5, 36),
    "cifar10-wrn-yopo-5-3": ("wrn-34-10", 5, 3, 8 / 255, 2 / 255, 256, 0.4 / 5, 36),
    "cifar10-wrn-yopo-3-5": ("wrn-34-10", 3, 5, 8 / 255, 2 / 255, 256, 0.4 / 5, 36),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_settings(name):
    config = make_config(name, data_dir="somewhere")
    mnist = name.startswith("mnist")
    assert settings(config) == PAPERS[name]
    assert [config[name] for name in ("momentum", "weight_decay", "lr_decay")] == [0.9, 5e-4, 0.1]
    assert (config["method"], config["reduction"], config["first_layer_grad"]) == ("yopo", "sum", "both")
    assert config["milestones"] == ((30, 35, 39) if mnist else (30, 34, 36))
    assert config["first_layer_milestones"] == ((15, 19) if mnist else None)
    assert config["dataset"] == ("mnist" if mnist else "cifar10")
    assert config["augment"] != mnist
    assert (config["held_out"], config["limit_train"], config["data_dir"]) == (0, None, "somewhere")
    assert (config["eval_steps"], config["eval_alpha"]) == ((40, 0.01) if mnist else (20, 2 / 255))
    twin = make_config(f"{name}-hamiltonian", data_dir="somewhere")
    assert differences(config, twin) == ["first_layer_grad: 'both' here, 'hamiltonian' there"]


def test_each_preset_is_tested_or_a_twin():
    others = {"cifar10-trades-yopo-3-4", "cifar10-trades-yopo-2-5", "cifar10-fast", *SPEEDRUNS}
    assert set(PRESETS.names) == set(PAPERS) | {f"{name}-hamiltonian" for name in PAPERS} | others


@pytest.mark.parametrize(("name", "m", "n"), [("3-4", 3, 4), ("2-5", 2, 5)])
def test_trades_yopo_as_published(name, m, n):
    config = make_config(f"cifar10-trades-yopo-{name}")
    assert [config[name] for name in ("method", "objective", "m", "n", "beta")] == ["trades-yopo", "trades", m, n, 1.0]
    assert [config[name] for name in ("eps", "alpha", "lr", "epochs")] == [0.031, 0.007, 0.2, 105]
    assert (config["milestones"], config["first_layer_milestones"]) == ((70, 90, 100), None)
    assert (config["eval_steps"], config["eval_alpha"]) == (20, 0.003)


def test_fast_as_published():
    config = make_config("cifar10-fast")
    assert [config[name] for name in ("method", "schedule", "lr", "epochs")] == ["fast", "cyclic", 0.2, 15]
    assert [config[name] for name in ("eps", "alpha", "batch_size")] == [8 / 255, 10 / 255, 128]
    assert (config["eval_steps"], config["eval_alpha"]) == (50, 2 / 255)


SPEEDRUNS = {
    "cifar10-speedrun": "preactresnet18", "cifar10-speedrun-resnet18": "resnet18", "cifar10-speedrun-small": "wrn-10-1",
}  # fmt: skip


@pytest.mark.parametrize(("name", "model"), SPEEDRUNS.items())
def test_speedruns_are_one_recipe(name, model):
    config, first = make_config(name), make_config("cifar10-speedrun")
    assert config["model"] == model
    assert differences(config, first) == ([] if config == first else [f"model: {model!r} here, 'preactresnet18' there"])
    assert (config["eps"], config["alpha"], config.base_lr, config["ewa_warmup"]) == (8 / 255, 8 / 255, 0.4, True)


@pytest.mark.parametrize(
    ("preset", "method", "expected"),
    [
        ("cifar10-yopo-5-3", "fast", {"alpha": 10 / 255, "lr": 0.2}),
        ("cifar10-yopo-5-3", "pgd-10", {"alpha": 2 / 255, "lr": 0.2, "pgd_steps": 10}),
        ("cifar10-yopo-5-3", "yopo-3-5", {"alpha": 2 / 255, "lr": 0.2 / 5, "m": 3, "n": 5, "reduction": "sum"}),
        ("cifar10-wrn-yopo-5-3", "n-fgsm", {"alpha": 8 / 255, "lr": 0.4, "model": "wrn-34-10"}),
        ("cifar10-wrn-yopo-5-3", "natural", {"lr": 0.4, "first_layer_milestones": None}),
        ("mnist-yopo-5-10", "free-4", {"alpha": 0.3, "lr": 0.01, "first_layer_milestones": None}),
        ("cifar10-trades-yopo-3-4", "trades-10", {"alpha": 2 / 255, "beta": 6.0, "epochs": 105}),
        ("cifar10-trades-yopo-2-5", "yopo", {"m": 5, "n": 3, "reduction": "mean", "objective": "cross-entropy"}),
        ("cifar10-fast", "yopo-5-3", {"alpha": 2 / 255, "lr": 0.2, "schedule": "cyclic"}),
    ],
)
def test_a_preset_with_another_method_keeps_nothing_that_was_its_methods(preset, method, expected):
    config = make_config(preset, method=method)
    assert {name: config[name] for name in expected} == pytest.approx(expected)


def test_a_presets_own_step_size_follows_the_radius():
    assert make_config("cifar10-fast", eps=4 / 255)["alpha"] == pytest.approx(5 / 255)


def test_a_rate_divided_for_a_sum_goes_with_the_sum():
    assert make_config("cifar10-yopo-5-3", reduction="mean")["lr"] == pytest.approx(0.2)
    assert make_config("cifar10-yopo-5-3", reduction="mean", lr=0.04)["lr"] == 0.04
    twin = natural_twin(make_config("cifar10-yopo-5-3"))
    assert (twin["method"], twin["lr"], twin["first_layer_milestones"]) == ("natural", pytest.approx(0.2), None)
    assert natural_twin(make_config())["lr"] == make_config()["lr"]


def test_milestones_given_beside_a_preset_are_the_first_layers_too():
    for name in ("cifar10-yopo-5-3", "cifar10-trades-yopo-3-4"):
        first_layer, rest = learning_rates(make_config(name, milestones=(20, 25)))
        assert [first_layer(epoch) / rest(0) for epoch in (19, 20, 25)] == pytest.approx([1.0, 0.1, 0.01])


def test_a_preset_with_another_schedule():
    assert "first_layer_milestones" not in make_config("mnist-yopo-5-10", schedule="cosine").settings()


def test_options_override_a_preset_which_overrides_defaults():
    assert make_config() == make_config(dataset="digits")
    assert make_config("mnist-yopo-5-10", eps=0.1)["eps"] == 0.1
    assert make_config("mnist-yopo-5-10")["eps"] == 0.3
    assert make_config(dataset="cifar10", model="wrn-34-10")["model"] == "wrn-34-10"
    with pytest.raises(ValueError, match=r"^preset: got 'mnist', expected one of .*mnist-yopo-5-10"):
        make_config("mnist")
