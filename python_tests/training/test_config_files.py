# SPDX-License-Identifier: MIT
"""Configurations in files: a run's own config.json, TOML and JSON that somebody wrote, and what is wrong with them."""

import json

import pytest

from yopo_ext.cli.compare import config_of
from yopo_ext.training import PRESETS, change_config, config_from_dict, make_config, read_run
from yopo_ext.training.config import read_settings

CONFIGS = {
    "defaults": make_config(),
    "natural": make_config(method="natural"),
    "free": make_config(method="free-3", alpha=0.02),
    "trades": make_config(method="trades-3", beta=2.0, schedule="one-cycle", optimizer="adamw", lr=0.001),
    "normalised": make_config(mean=(0.5,), std=(0.25,), delay="auto", held_out=9, patience=2, limit_train=99),
    **{name: make_config(name, data_dir="d") for name in PRESETS.names},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip_through_a_run_s_file(tmp_path, name):
    config, path = CONFIGS[name], tmp_path / "config.json"
    config.write(path)
    assert json.loads(path.read_text()) == config.to_dict()
    assert read_run(path) == make_config(file=path) == config_from_dict(config.to_dict()) == config
    assert hash(read_run(path)) == hash(config)


def as_toml(config):
    """TOML has no null: such a setting is left out."""
    lines = []
    tables = {name: table for name, table in config.to_dict().items() if name != "events"}
    tables |= {f"events.{name}": table for name, table in config.to_dict()["events"].items()}
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["defaults", "natural", "free", "trades", "normalised"])
def test_round_trip_through_toml(tmp_path, name):
    path = tmp_path / "settings.toml"
    path.write_text(as_toml(CONFIGS[name]))
    assert make_config(file=path) == CONFIGS[name]


TOML = """
[method]
name = "yopo-2-3"
reduction = "sum"

[ball]
eps = 0.2

[schedule]
milestones = [3, 5]

[events.curve]
curve_steps = 4
"""


def test_a_file_need_not_say_everything_and_may_carry_the_method_s_numbers(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(TOML)
    flat = {"method": "yopo-2-3", "reduction": "sum", "eps": 0.2, "milestones": (3, 5), "curve_steps": 4}
    assert read_settings(path) == {**flat, "method": "yopo", "m": 2, "n": 3}
    assert make_config(file=path) == make_config(**flat)


def test_a_file_overrides_a_preset_and_is_overridden(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[loop]\nepochs = 7\nseed = 4\n[data]\ndata_dir = "d"\n')
    config = make_config("mnist-yopo-5-10", file=path, seed=5)
    assert config == change_config(make_config("mnist-yopo-5-10"), epochs=7, seed=5, data_dir="d")
    path.write_text('[data]\ndataset = "mnist"\n')
    assert make_config(file=path)["eps"] == 0.3  # the data set's recipe


def test_what_a_file_says_of_a_choice_goes_with_it(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(TOML + "[optimizer]\nname = 'nesterov'\nmomentum = 0.5\nlr = 0.01\n")
    config = make_config(file=path, method="pgd-4", schedule="cosine", optimizer="adam")
    expected = {"method": "pgd-4", "schedule": "cosine", "optimizer": "adam", "lr": 0.01}
    assert config == make_config(**expected, eps=0.2, curve_steps=4)
    assert make_config(file=path, method="yopo", n=5)["n"] == 5
    with pytest.raises(ValueError, match=r"momentum: optimizer adam has no such setting"):
        make_config(file=path, optimizer="adam", momentum=0.5)
    path.write_text("[ball]\nalpha = 0.01\n[method]\nname = 'fast'\n")
    assert make_config(file=path, schedule="cosine")["alpha"] == 0.01
    assert make_config(file=path, method="n-fgsm")["alpha"] == 0.15  # its own
    path.write_text("[method]\nname = 'pgd'\nm = 3")
    with pytest.raises(ValueError, match=r"m: method pgd has no such setting"):
        make_config(file=path, method="yopo")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, {"method": "yopo-attack-1-3"}),
        ({"eps": 0.05}, {"method": "yopo-attack-1-3", "eps": 0.05}),
        ({"method": "yopo-attack-1-10"}, {"method": "yopo-attack-1-10"}),
        ({"n": 10}, {"method": "yopo-attack-1-10"}),
        ({"method": "pgd-10"}, {"method": "pgd-10"}),
        ({"method": "free-2"}, {"method": "free-2"}),
        ({"alpha": 0.01}, {"method": "yopo-attack-1-3", "alpha": 0.01}),
    ],
)
def test_a_step_size_that_nobody_gave_is_found_anew(tmp_path, changes, same):
    """A run's own file holds it beside all other settings."""
    path = tmp_path / "config.json"
    config = make_config(method="yopo-attack-1-3")
    config.write(path, taken={"device": "cpu"})
    written = json.loads(path.read_text())
    assert written["taken"] == {"alpha": "the method's own", "device": "cpu"}
    assert written["ball"]["alpha"] == config["alpha"]
    assert make_config(file=path, **changes) == make_config(**same)
    assert change_config(read_run(path), **changes) == make_config(**same)
    make_config(method="yopo-attack-1-3", alpha=config["alpha"]).write(path)
    assert "taken" not in json.loads(path.read_text())
    assert make_config(file=path, eps=0.05)["alpha"] == config["alpha"]


def test_a_comparison_by_a_run_s_own_file_has_each_method_s_step_size(tmp_path):
    path = tmp_path / "config.json"
    make_config(method="fast").write(path)
    for method in ("pgd-10", "yopo-5-3", "n-fgsm", "yopo-attack-1-3"):
        assert config_of(method, read_settings(path)) == make_config(method=method)


def test_a_method_that_the_file_does_not_name_must_have_its_settings(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[method]\nfirst_layer_grad = "both"\n')
    with pytest.raises(ValueError, match=r"first_layer_grad: method pgd has no such setting"):
        make_config(file=path, method="pgd-10")
    path.write_text('[method]\nname = "yopo-5-10"\nfirst_layer_grad = "both"\n')
    assert make_config(file=path, method="pgd-10") == make_config(method="pgd-10")


WRONG = {
    "epsilon = 1": "epsilon: unknown section, expected data, model, ball, loop, ",
    "eps = 0.1": "eps: unknown section",
    "ball = 3": "ball: got 3, expected a table of settings",
    "[ball]\nepsilon = 1": "ball: unknown settings: epsilon",
    "[loop]\neps = 0.1": "loop: unknown settings: eps; it belongs to ball",
    "[ball]\ndelay = 2": "ball: unknown settings: delay; it belongs to events",
    "[events]\ndelay = 2": "events.delay: got 2, expected a table of settings",
    "[events.curve]\ndelay = 2": "events.curve: unknown settings: delay; it belongs to events",
    "[events.party]\ndelay = 2": "events.party: unknown settings: delay; it belongs to events",
    "[ball]\nname = 'round'": "ball: unknown settings: name",
    "[method]\nname = 3": "method: got 3, expected a name",
    "[method]\nname = 'yopo-5'": "method: got 'yopo-5', expected yopo-M-N",
    "[method]\nname = 'yopo-5-3'\nm = 4": "m: got 4 with method yopo-5-3, expected 5 or none",
    "[ball]\neps = '8/255'": "eps: got '8/255', expected a finite number of at least 0",
    "[ball]\neps = -1": "eps: got -1, expected a finite number of at least 0",
    "[loop]\nepochs = 1.5": "epochs: got 1.5, expected a whole number of at least 1",
    "[schedule]\nmilestones = 3": None,
    "[schedule]\nmilestones = [[1]]": "milestones: got ([1],), expected several, each a whole number",
    "[ball": "not a configuration",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_malformed_file_is_named(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"settings.toml: not a configuration \(") as caught:
        make_config(file=path)
    assert (WRONG[text] or "milestones: got 3") in str(caught.value)


def test_what_the_chosen_method_has_no_use_for_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[method]\nname = 'pgd'\nm = 3")
    with pytest.raises(ValueError, match=r"m: method pgd has no such setting; it belongs to .*yopo"):
        make_config(file=path)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[1]", '{"ball": {"eps": "large"}}', '{"ball": {"epsilon": 1}}', '{"ball": {"eps": -1}}', '{"eps": 1}',
        '{"method": {"name": ["yopo"]}}', '{"method": {"name": "pgd", "m": 3}}',
    ],
)  # fmt: skip
def test_a_malformed_run_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"config.json: not a run's configuration \("):
        read_run(path)
    path.unlink()
    with pytest.raises(ValueError, match=r"config.json: no such file; is its folder the folder of a run\?"):
        read_run(path)
    with pytest.raises(ValueError, match=r"config.json: no such file$"):
        make_config(file=path)
