# SPDX-License-Identifier: MIT

import json
from dataclasses import fields

import pytest

from yopo_ext.training import PRESETS, TrainConfig, make_config
from yopo_ext.training.config import differences
from yopo_ext.training.job import natural_twin
from yopo_ext.training.method_names import method_name, parse_method
from yopo_ext.training.presets import DATASET_DEFAULTS


@pytest.mark.parametrize("config", [TrainConfig(), *(make_config(name) for name in PRESETS)])
def test_round_trip_through_a_file(tmp_path, config):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert TrainConfig.read(path) == config
    assert hash(TrainConfig.read(path)) == hash(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "fgsm"}, "method must be one of natural, .*, got 'fgsm'"),
        ({"norm": "l1"}, "norm must be one of linf, l2"),
        ({"reduction": "none"}, "reduction must be one of"),
        ({"first_layer_grad": "none"}, "first_layer_grad must be one of"),
        ({"memory_format": "nhwc"}, "memory_format must be one of"),
        ({"eps": -0.1}, "eps must be at least 0 and finite, got -0.1"),
        ({"eps": float("nan")}, "eps must be at least 0 and finite, got nan"),
        ({"lr": float("inf")}, "lr must be at least 0 and finite, got inf"),
        ({"alpha": float("nan")}, "alpha must be finite, got nan"),
        ({"eval_alpha": float("-inf")}, "eval_alpha must be finite"),
        ({"m": 0}, "m must be at least 1"),
        ({"n": -1}, "n must be at least 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"limit_train": 0}, "limit_train must be at least 1"),
        ({"held_out": -5}, "held_out must be at least 0"),
        ({"label_smoothing": 1.5}, "label_smoothing must be from 0 to 1, got 1.5"),
        ({"ewa_decay": 1.0}, "ewa_decay must be at least 0 and below 1, got 1.0"),
        ({"delay": 0}, "delay must be auto or a number of epochs, at least 1, got 0"),
        ({"delay": "soon"}, "delay must be auto or a number of epochs"),
        ({"delay": 2, "method": "natural"}, "delay needs an adversarial method"),
        ({"delay": 20, "epochs": 20}, "delay must end before the 20 epochs do, got 20: the run would be natural"),
        ({"delay": "auto", "epochs": 1}, "delay must end before the 1 epochs do, got auto"),
        ({"eps_warmup_epochs": 20.0}, "eps_warmup_epochs and steps_warmup_epochs must end before the 20 .*, got 20"),
        ({"eps_warmup_epochs": 9.5, "delay": 11}, "got 9.5, after a delay of up to 11"),
        ({"eps_warmup_epochs": 1, "method": "natural"}, "eps_warmup_epochs needs an adversarial method, got natural"),
        ({"patience": 3}, "patience needs held_out images"),
        ({"bn_mode": "eval"}, "bn_mode eval needs an attack apart from the weight pass, got method yopo"),
        ({"bn_mode": "eval", "method": "free"}, "got method free"),
        ({"bn_mode": "frozen"}, "bn_mode must be one of None, train, eval"),
        ({"method": "n-fgsm", "norm": "l2"}, "n-fgsm is defined for norm linf"),
        ({"steps_warmup_epochs": 2}, "steps_warmup_epochs needs method pgd or trades, got yopo"),
        ({"schedule": "cosine", "first_layer_milestones": (1,)}, "first_layer_milestones go with schedule piecewise"),
        ({"staleness_every": 1, "method": "pgd"}, "staleness_every needs method yopo or trades-yopo, got pgd"),
        ({"optimizer": "nesterov", "momentum": 0.0}, "optimizer nesterov needs a momentum"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, nesterov, adam, adamw"),
        ({"schedule": "flat"}, "schedule must be one of piecewise, cosine, one-cycle, cyclic"),
        ({"seed": 2**63}, "seed must be at most"),
        ({"mean": (0.5,)}, "mean and std go together"),
        ({"epsilon": 1, "betas": 2}, "unknown settings: betas, epsilon"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_dict(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 2.5}, "m: got 2.5, expected a whole number"),
        ({"epochs": 1.5}, "epochs: got 1.5, expected a whole number"),
        ({"epochs": True}, "epochs: got True, expected a whole number"),
        ({"eps": "0.1"}, "eps: got '0.1', expected a number"),
        ({"augment": 1}, "augment: got 1, expected True or False"),
        ({"model": None}, "model: got None, expected a word"),
        ({"limit_train": 2.0}, "limit_train: got 2.0, expected a whole number or None"),
        ({"delay": 1.5}, "delay: got 1.5, expected a whole number or a word or None"),
        ({"milestones": (1.5,)}, r"milestones: got \(1.5,\), expected a tuple, each a whole number"),
        ({"std": ("a",), "mean": (0,)}, r"std: got \('a',\), expected a tuple, each a number or None"),
    ],
)
def test_values_of_another_type(change, message):
    with pytest.raises(TypeError, match=message):
        TrainConfig(**change)


def test_every_field_has_a_type_that_is_checked():
    class Other:
        pass

    for field in fields(TrainConfig):
        with pytest.raises(TypeError, match=f"^{field.name}: got "):
            TrainConfig(**{field.name: Other()})


def test_lists_are_taken_for_tuples():
    assert TrainConfig(milestones=[1, 2]) == TrainConfig(milestones=(1, 2))


@pytest.mark.parametrize("name", ["eps", "alpha", "eval_alpha"])
@pytest.mark.parametrize("value", [1, 8.0, 255])
def test_grey_levels_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be below 1 with norm linf, got {value:g}: .* {value:g}/255"):
        TrainConfig(**{name: value})
    assert getattr(TrainConfig(norm="l2", **{name: value}), name) == value


@pytest.mark.parametrize("alpha", [-0.1, 0.0])
def test_any_sign_of_alpha_is_taken(alpha):
    assert TrainConfig(alpha=alpha, n=0, eps=0).alpha == alpha


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"eps": "large"}', '{"epsilon": 1}', '{"eps": -1}'])
def test_a_malformed_file_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"config.json: not a run's configuration"):
        TrainConfig.read(path)
    path.unlink()
    with pytest.raises(ValueError, match=r"config.json: no such file; is its folder the folder of a run"):
        TrainConfig.read(path)


def test_differences():
    ours, theirs = TrainConfig(m=3, data_dir="a", device="cuda"), TrainConfig(milestones=(1,), data_dir="b")
    assert differences(ours, theirs) == ["m: 3 here, 5 there", "milestones: () here, (1,) there"]
    assert differences(ours, ours) == []


def settings(config):
    return (config.model, config.m, config.n, config.eps, config.alpha, config.batch_size, config.lr, config.epochs)


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
    assert (config.momentum, config.weight_decay, config.lr_decay) == (0.9, 5e-4, 0.1)
    assert (config.method, config.reduction, config.first_layer_grad) == ("yopo", "sum", "both")
    assert config.milestones == ((30, 35, 39) if mnist else (30, 34, 36))
    assert config.first_layer_milestones == ((15, 19) if mnist else (30, 34, 36))
    assert config.dataset == ("mnist" if mnist else "cifar10")
    assert config.augment != mnist
    assert config.held_out == 0
    assert config.limit_train is None
    assert config.data_dir == "somewhere"
    twin = make_config(f"{name}-hamiltonian", data_dir="somewhere")
    assert differences(config, twin) == ["first_layer_grad: 'both' here, 'hamiltonian' there"]


def test_each_preset_is_tested_or_a_twin():
    others = {"cifar10-trades-yopo-3-4", "cifar10-trades-yopo-2-5", "cifar10-fast"}
    assert set(PRESETS) == set(PAPERS) | {f"{name}-hamiltonian" for name in PAPERS} | others


@pytest.mark.parametrize(("name", "m", "n"), [("3-4", 3, 4), ("2-5", 2, 5)])
def test_trades_yopo_as_published(name, m, n):
    config = make_config(f"cifar10-trades-yopo-{name}")
    assert (config.method, config.m, config.n, config.beta) == ("trades-yopo", m, n, 1.0)
    assert (config.eps, config.alpha, config.lr, config.epochs) == (0.031, 0.007, 0.2, 105)
    assert config.milestones == config.first_layer_milestones == (70, 90, 100)


def test_fast_as_published():
    config = make_config("cifar10-fast")
    assert (config.method, config.schedule, config.lr, config.epochs) == ("fast", "cyclic", 0.2, 15)
    assert (config.eps, config.alpha, config.batch_size) == (8 / 255, 10 / 255, 128)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("yopo-2-7", {"method": "yopo", "m": 2, "n": 7}),
        ("pgd-40", {"method": "pgd", "pgd_steps": 40}),
        ("trades-3", {"method": "trades", "pgd_steps": 3}),
        ("trades-yopo-3-4", {"method": "trades-yopo", "m": 3, "n": 4}),
        ("free-8", {"method": "free", "m": 8, "alpha": 0.15}),
        ("fast", {"method": "fast", "alpha": 1.25 * 0.15}),
        ("n-fgsm", {"method": "n-fgsm", "alpha": 0.15}),
        ("yopo", {"method": "yopo", "m": 5, "n": 3}),
    ],
)
def test_methods_as_papers_write_them(method, expected):
    config = make_config(method=method)
    assert {name: getattr(config, name) for name in expected} == expected
    assert method_name(config).startswith(method)
    assert parse_method(method_name(config)).items() <= config.to_dict().items()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("yopo-5", "method 'yopo-5': expected yopo-M-N"),
        ("fast-3", "method 'fast-3': expected fast"),
        ("pgd-", "unknown method 'pgd-'"),
        ("mart", "unknown method 'mart'; known: natural, fast"),
    ],
)
def test_methods_that_are_none(method, message):
    with pytest.raises(ValueError, match=message):
        make_config(method=method)


def test_a_step_size_that_is_given_is_taken():
    assert make_config(method="fast", alpha=0.01).alpha == 0.01
    assert make_config("cifar10-fast", alpha=0.01, method="pgd-3").alpha == 0.01


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
        ("cifar10-trades-yopo-2-5", "yopo", {"m": 5, "n": 3, "reduction": "mean"}),
        ("cifar10-fast", "yopo-5-3", {"alpha": 2 / 255, "lr": 0.2, "schedule": "cyclic"}),
    ],
)
def test_a_preset_with_another_method_keeps_nothing_that_was_its_methods(preset, method, expected):
    config = make_config(preset, method=method)
    assert {name: getattr(config, name) for name in expected} == pytest.approx(expected)


def test_a_presets_own_step_size_follows_the_radius():
    assert make_config("cifar10-fast", eps=4 / 255).alpha == pytest.approx(5 / 255)


def test_a_rate_divided_for_a_sum_goes_with_the_sum():
    assert make_config("cifar10-yopo-5-3", reduction="mean").lr == pytest.approx(0.2)
    assert make_config("cifar10-yopo-5-3", reduction="mean", lr=0.04).lr == 0.04
    twin = natural_twin(make_config("cifar10-yopo-5-3"))
    assert (twin.lr, twin.reduction, twin.first_layer_milestones) == (pytest.approx(0.2), "mean", None)
    assert natural_twin(make_config()).lr == make_config().lr


def test_a_preset_with_another_schedule():
    assert make_config("cifar10-yopo-5-3", schedule="cosine").first_layer_milestones is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"method": "pgd-10", "m": 7}, "m: got 7, but method pgd does not read it; yopo, free, trades-yopo do"),
        ({"method": "free-4", "n": 7}, "n: got 7, but method free does not read it"),
        ({"method": "yopo-5-3", "m": 2}, "m: got 2 with method yopo-5-3, expected 5 or none"),
        ({"method": "natural", "alpha": 0.1}, "alpha: got 0.1, but method natural does not read it"),
        ({"method": "pgd", "reduction": "sum"}, "reduction: got 'sum', .* yopo does"),
        ({"schedule": "cosine", "milestones": (2,)}, "milestones: .* schedule cosine does not read it"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: got 0.5, but optimizer adam does not read it"),
        ({"data_dir": "d"}, "data_dir: got 'd', but dataset digits is read from no files"),
    ],
)
def test_an_override_that_would_be_ignored_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        make_config(**overrides)


def test_the_rate_follows_the_batch_size():
    assert TrainConfig(lr=0.1, lr_batch=128, batch_size=512).base_lr == pytest.approx(0.4)
    assert TrainConfig(lr=0.1, batch_size=512).base_lr == 0.1


@pytest.mark.parametrize("name", DATASET_DEFAULTS)
def test_defaults_of_each_data_set(name):
    config = make_config(dataset=name)
    assert config.dataset == name
    assert config.method == "yopo"


def test_options_override_a_preset_which_overrides_defaults():
    assert make_config() == make_config(dataset="digits")
    assert make_config("mnist-yopo-5-10", eps=0.1).eps == 0.1
    assert make_config("mnist-yopo-5-10").eps == 0.3
    assert make_config(dataset="cifar10", model="wrn-34-10").model == "wrn-34-10"
    with pytest.raises(ValueError, match="unknown preset 'mnist'; known: mnist-yopo-5-10, "):
        make_config("mnist")
    with pytest.raises(ValueError, match="unknown dataset 'svhn'; known: digits, "):
        make_config(dataset="svhn")
