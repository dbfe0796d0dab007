# SPDX-License-Identifier: MIT
"""Settings by name to a checked configuration, layer over layer; presets are in test_presets.py."""

import pytest

from yopo_ext.data import DATASETS
from yopo_ext.training import change_config, make_config, parse_method
from yopo_ext.training.config import differences
from yopo_ext.training.config.layout import EVENT_SECTION, KINDS, SECTIONS, SOURCE_SECTION, homes
from yopo_ext.training.events import EVENTS
from yopo_ext.training.runs.job import natural_twin


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "fgsm"}, "method: got 'fgsm', expected one of .*natural.*yopo-M-N"),
        ({"norm": "l1"}, "norm: got 'l1', expected one of linf, l2"),
        ({"reduction": "none"}, "reduction: got 'none', expected one of mean, sum"),
        ({"first_layer_grad": "none"}, "first_layer_grad: got 'none', expected one of hamiltonian, backprop, both"),
        ({"memory_format": "nhwc"}, "memory_format: got 'nhwc', expected one of channels_last, contiguous"),
        ({"eps": -0.1}, "eps: got -0.1, expected a finite number of at least 0"),
        ({"eps": float("nan")}, "eps: got nan, expected a finite number of at least 0"),
        ({"lr": float("inf")}, "lr: got inf, expected a finite number of at least 0"),
        ({"alpha": float("nan")}, "alpha: got nan, expected a finite number"),
        ({"eval_alpha": 0.0}, "eval_alpha: got 0.0, expected a finite number above 0 or none"),
        ({"m": 0}, "m: got 0, expected a whole number of at least 1"),
        ({"n": -1}, "n: got -1, expected a whole number of at least 0"),
        ({"epochs": 0}, "epochs: got 0, expected a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size: got 0, expected a whole number of at least 1"),
        ({"limit_train": 0}, "limit_train: got 0, expected a whole number of at least 1 or none"),
        ({"held_out": -5}, "held_out: got -5, expected a whole number of at least 0"),
        ({"label_smoothing": 1.5}, "label_smoothing: got 1.5, expected a finite number of at least 0 and at most 1"),
        ({"ewa_decay": 1.0}, "ewa_decay: got 1.0, expected a finite number of at least 0 and below 1"),
        ({"delay": 0}, "delay: got 0, expected auto or a whole number of at least 1 or none"),
        ({"delay": "soon"}, "delay: got 'soon', expected auto or a whole number"),
        ({"delay": 2, "method": "natural"}, "delay: got 2 with method natural, expected an adversarial one"),
        ({"delay": 16}, "delay: got 16, expected an end before the 16 epochs do: the run would be natural"),
        ({"delay": "auto", "epochs": 1}, "delay: got 'auto', expected an end before the 1 epochs do"),
        ({"eps_warmup_epochs": 16.0}, "eps_warmup_epochs, .*: got 16, expected an end before the 16 epochs do"),
        (
            {"eps_warmup_epochs": 9.5, "delay": 11},
            "eps_warmup_epochs, .*: got 9.5, after a delay of up to 11, expected an end",
        ),
        ({"eps_warmup_epochs": 1, "method": "natural"}, "eps_warmup_epochs: got method natural, expected an advers"),
        (
            {"patience": 3},
            "patience: got 3 without held-out images, expected held_out above 0: the test set must not decide",
        ),
        ({"bn_mode": "eval"}, "bn_mode: method yopo has no such setting; it belongs to .*pgd"),
        ({"bn_mode": "eval", "method": "free"}, "bn_mode: method free has no such setting"),
        ({"bn_mode": "frozen", "method": "pgd"}, "bn_mode: got 'frozen', expected one of train, eval or none"),
        ({"steps_warmup_epochs": 2}, "steps_warmup_epochs: got method yopo, expected one of pgd, trades"),
        (
            {"schedule": "cosine", "first_layer_milestones": (1,)},
            "first_layer_milestones: schedule cosine has no such setting; it belongs to piecewise",
        ),
        ({"staleness_every": 1, "method": "pgd"}, "staleness_every: got method pgd, expected one of free-yopo"),
        ({"optimizer": "nesterov", "momentum": 0.0}, "momentum: got 0.0, expected a finite number above 0"),
        ({"optimizer": "lion"}, "optimizer: got 'lion', expected one of adam, adamw, sgd, nesterov"),
        ({"schedule": "flat"}, "schedule: got 'flat', expected one of cosine, cyclic, one-cycle, piecewise"),
        ({"objective": "hinge"}, "objective: got 'hinge', expected one of .*cross-entropy"),
        ({"model": "vgg"}, "model: got 'vgg', expected one of digits-cnn, "),
        ({"dataset": "svhn"}, "dataset: got 'svhn', expected one of .*digits"),
        ({"seed": 2**63}, "seed: got 9223372036854775808, expected a whole number of at least 0 and at most"),
        ({"method": "n-fgsm", "norm": "l2"}, "norm: got 'l2', expected 'linf', for which N-FGSM is defined"),
        (
            {"smoothing_kind": "zipf"},
            "smoothing_kind: got 'zipf' with label_smoothing 0.0, expected label_s",
        ),
        (
            {"method": "fast", "consistency_outputs": "detached"},
            "consistency_outputs: got 'detached' with ",
        ),
        ({"ewa_warmup": False}, "ewa_warmup: got False with ewa_decay 0.0, expected ewa_decay above 0"),
        ({"most_restarts": 3}, "most_restarts: got 3 with on_overfitting 'warn', expected on_overfitting 'restart'"),
        ({"mean": (0.5,)}, "mean, std: got one of them, expected both or neither"),
        ({"epsilon": 1}, "unknown settings: epsilon"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make_config(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 2.5}, "m: got 2.5, expected a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs: got 1.5, expected a whole number"),
        ({"epochs": True}, "epochs: got True, expected a whole number"),
        ({"eps": "0.1"}, "eps: got '0.1', expected a finite number"),
        ({"augment": 1}, "augment: got 1, expected true or false"),
        ({"model": None}, "model: got None, expected one of digits-cnn"),
        ({"limit_train": 2.0}, "limit_train: got 2.0, expected a whole number of at least 1 or none"),
        ({"delay": 1.5}, "delay: got 1.5, expected auto or a whole number of at least 1 or none"),
        ({"milestones": (1.5,)}, r"milestones: got \(1.5,\), expected several, each a whole number"),
        ({"std": ("a",), "mean": (0,)}, r"std: got \('a',\), expected several, each a finite number above 0 or none"),
    ],
)
def test_values_of_another_type(change, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        make_config(**change)


class Other:
    """Of no type that a setting has."""


def declared():
    """Every setting with the dataclass that declares it."""
    for name, found in homes().items():
        for home in found:
            if home.owner is None:
                yield name, SECTIONS[home.section]
            else:
                registry = {**KINDS, EVENT_SECTION: EVENTS, SOURCE_SECTION: DATASETS}[home.section]
                yield name, registry[home.owner].options


@pytest.mark.parametrize(("name", "kind"), list(declared()), ids=lambda part: part if isinstance(part, str) else "")
def test_every_setting_has_a_type_that_is_checked(name, kind):
    with pytest.raises(TypeError, match=f"^{name}: got "):
        kind(**{name: Other()})


def test_lists_are_taken_for_tuples():
    assert make_config(milestones=[1, 2]) == make_config(milestones=(1, 2))
    assert make_config(milestones=[1, 2])["milestones"] == (1, 2)


@pytest.mark.parametrize("name", ["eps", "alpha", "eval_alpha"])
@pytest.mark.parametrize("value", [1, 8.0, 255])
def test_grey_levels_are_refused(name, value):
    message = f"^{name}: got {value:g} with norm linf, expected less than 1: .* so for grey levels write {value:g}/255"
    with pytest.raises(ValueError, match=message):
        make_config(**{name: value})
    assert make_config(norm="l2", **{name: value})[name] == value


@pytest.mark.parametrize("alpha", [-0.1, 0.0])
def test_any_sign_of_alpha_is_taken(alpha):
    assert make_config(alpha=alpha, n=0, eps=0)["alpha"] == alpha


def test_a_setting_is_read_by_its_name():
    config = make_config(method="pgd-7", seed=4, schedule="cyclic")
    assert (config["seed"], config["pgd_steps"], config["method"], config["schedule"]) == (4, 7, "pgd", "cyclic")
    assert (config.loop.seed, config.method.options.pgd_steps, config.event("curve").curve_steps) == (4, 7, 10)
    assert config.get("m", "none") == "none"
    with pytest.raises(KeyError, match="milestones"):
        config["milestones"]
    assert {name: config[name] for name in config.settings()} == config.settings()
    of_the_host = {"data_dir", "device", "profile", "tensorboard", "log_every_minutes"}
    assert set(config.settings()) - set(config.settings(host=False)) == of_the_host


def test_settings_that_mean_nothing_to_a_method():
    natural, pgd, yopo = (make_config(method=name) for name in ("natural", "pgd", "yopo"))
    for name, expected in {
        "alpha": (False, True, True), "delay": (False, True, True), "eps_warmup_epochs": (False, True, True),
        "steps_warmup_epochs": (False, True, False), "staleness_every": (False, False, True), "m": (False, False, True),
        "eps": (True, True, True), "milestones": (True, True, True), "curve_every": (True, True, True),
    }.items():  # fmt: skip
        assert tuple(config.reads(name) for config in (natural, pgd, yopo)) == expected, name


def test_differences():
    ours = make_config(m=3, dataset="mnist", data_dir="a", device="cuda", milestones=())
    theirs = make_config(m=5, dataset="mnist", data_dir="b", milestones=(1,))
    assert differences(ours, theirs) == ["m: 3 here, 5 there", "milestones: () here, (1,) there"]
    assert differences(ours, ours) == []
    assert differences(make_config(method="free-3"), make_config(method="pgd-2"))[:2] == [
        "method: 'free' here, 'pgd' there", "alpha: 0.15 here, 0.03 there"
    ]  # fmt: skip
    assert "pgd_steps: None here, 2 there" in differences(make_config(method="free-3"), make_config(method="pgd-2"))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("yopo-2-7", {"method": "yopo", "m": 2, "n": 7, "objective": "cross-entropy"}),
        ("pgd-40", {"method": "pgd", "pgd_steps": 40}),
        ("trades-3", {"method": "trades", "pgd_steps": 3, "objective": "trades", "beta": 6.0}),
        ("trades-yopo-3-4", {"method": "trades-yopo", "m": 3, "n": 4, "objective": "trades"}),
        ("free-8", {"method": "free", "m": 8, "alpha": 0.15}),
        ("fast", {"method": "fast", "alpha": 1.25 * 0.15}),
        ("n-fgsm", {"method": "n-fgsm", "alpha": 0.15}),
        ("yopo", {"method": "yopo", "m": 5, "n": 3}),
    ],
)
def test_methods_as_papers_write_them(method, expected):
    config = make_config(method=method)
    assert {name: config[name] for name in expected} == expected
    assert config.method_name.startswith(method)
    assert parse_method(config.method_name).items() <= config.settings().items()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("yopo-5", "method: got 'yopo-5', expected yopo-M-N"),
        ("fast-3", "method: got 'fast-3', expected fast"),
        ("pgd-", "method: got 'pgd-', expected one of"),
        ("mart", "method: got 'mart', expected one of .*n-fgsm.*pgd-STEPS"),
    ],
)
def test_methods_that_are_none(method, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make_config(method=method)


def test_a_step_size_that_is_given_is_taken():
    assert make_config(method="fast", alpha=0.01)["alpha"] == 0.01
    assert make_config("cifar10-fast", alpha=0.01, method="pgd-3")["alpha"] == 0.01


def test_the_natural_twin_is_the_same_run_but_for_the_attack():
    for method, extras in (
        ("yopo-2-2", {"delay": 2, "eps_warmup_epochs": 1, "staleness_every": 1}),
        ("pgd-3", {"delay": 2, "steps_warmup_epochs": 1, "bn_mode": "eval"}),
        ("trades-yopo", {"beta": 2.0, "label_smoothing": 0.1}),
        ("fast", {"on_overfitting": "restart", "most_restarts": 1, "cosine_every": 4}),
        ("fast", {"start": "class", "consistency": 10.0, "consistency_ramp": 2.0}),
    ):
        common = {"epochs": 9, "lr": 0.03, "held_out": 20, "patience": 2, "seed": 5}
        twin = natural_twin(make_config(method=method, **common, **extras))
        kept = {name: value for name, value in extras.items() if name == "label_smoothing"}
        assert differences(twin, make_config(method="natural", **common, **kept)) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"method": "pgd-10", "m": 7}, "m: method pgd has no such setting; it belongs to .*yopo"),
        ({"method": "free-4", "n": 7}, "n: method free has no such setting; it belongs to .*yopo"),
        ({"method": "yopo-5-3", "m": 2}, "m: got 2 with method yopo-5-3, expected 5 or none"),
        ({"method": "natural", "alpha": 0.1}, "alpha: method natural has no such setting; it belongs to .*pgd"),
        ({"method": "pgd", "reduction": "sum"}, "reduction: method pgd has no such setting; it belongs to yopo"),
        ({"method": "yopo", "beta": 2.0}, "beta: objective cross-entropy has no such setting; it belongs to trades"),
        ({"schedule": "cosine", "milestones": (2,)}, "milestones: schedule cosine has no such setting; .* piecewise"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: optimizer adam has no such setting; .* sgd, nesterov"),
    ],
)
def test_an_override_that_would_be_ignored_is_refused(overrides, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make_config(**overrides)


def test_the_rate_follows_the_batch_size():
    assert make_config(lr=0.1, lr_batch=128, batch_size=512).base_lr == pytest.approx(0.4)
    assert make_config(lr=0.1, batch_size=512).base_lr == 0.1


@pytest.mark.parametrize("name", DATASETS.names)
def test_defaults_of_each_data_set(name):
    config = make_config(dataset=name)
    assert (config["dataset"], config["method"]) == (name, "yopo")
    recipe = DATASETS[name].recipe
    assert {key: config[key] for key in recipe} == dict(recipe)


def test_a_changed_configuration():
    config = make_config(method="yopo-2-3", alpha=0.07, reduction="sum", seed=3, ewa_decay=0.5, milestones=(4,))
    assert change_config(config) == config
    assert differences(change_config(config, n=4, ewa_decay=0.0), config) == [
        "n: 4 here, 3 there", "ewa_decay: 0.0 here, 0.5 there"
    ]  # fmt: skip
    assert change_config(config, eps=0.2)["alpha"] == 0.07
    other = change_config(config, method="trades-5")
    assert (other.method_name, other["objective"], other["seed"], other["ewa_decay"]) == ("trades-5", "trades", 3, 0.5)
    assert {"m", "n", "reduction"}.isdisjoint(other.settings())
    assert change_config(other, method="free-2")["objective"] == "cross-entropy"
    assert change_config(config, method="free-2")["m"] == 2
    assert change_config(config, method="fast")["alpha"] == pytest.approx(1.25 * 0.15)
    own = change_config(config, method="yopo-attack-1-5")
    assert change_config(own, n=10, eps=0.3)["alpha"] == pytest.approx(1.25 * 0.3 / 10)
    assert change_config(own, method="pgd-10")["alpha"] == make_config(method="pgd-10")["alpha"]
    assert change_config(own, epochs=3, alpha=0.01)["alpha"] == 0.01
    assert "milestones" not in change_config(config, schedule="cosine").settings()
    assert change_config(config, schedule="cosine")["lr"] == config["lr"]
    for changes, message in (
        ({"pgd_steps": 3}, "pgd_steps: method yopo has no such setting"),
        ({"method": "yopo-3-3", "m": 5}, "m: got 5 with method yopo-3-3"),
        ({"speed": 3}, "unknown settings: speed"),
    ):
        with pytest.raises(ValueError, match=message):
            change_config(config, **changes)


def test_labels():
    assert [make_config(method=name).label for name in ("natural", "fast", "free-3", "trades-yopo-2-5")] == [
        "natural", "FastAT", "Free-3", "TRADES-YOPO-2-5"
    ]  # fmt: skip
    assert make_config(method="pgd-3", delay=2).label == "PGD-3, delayed"
    assert make_config(method="natural").method_name == "natural"
