# SPDX-License-Identifier: MIT
"""`yopo train` from a file of settings, and a run that is made longer."""

import json

import pytest
import torch

from yopo_ext.training import change_config, load_checkpoint, read_run

TINY = """
[data]
limit_train = 40
limit_eval = 20

[loop]
epochs = 2
batch_size = 20

[method]
name = "yopo-1-1"

[measuring]
eval_steps = 1

[events.curve]
curve_steps = 1
"""


@pytest.fixture
def trained(tmp_path, command):
    """Trains what a file says, with options, in a folder of that name."""
    file = tmp_path / "settings.toml"
    file.write_text(TINY)

    def train(name, *options):
        status, _, err = command(
            "train", "--config", file, "--no-compare-natural", "--out", tmp_path / name, *options
        )  # fmt: skip
        assert (status, err) == (0, ""), err
        return tmp_path / name

    return train


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_file_of_settings_and_the_run_s_own(tmp_path, command, trained):
    first = trained("first", "--seed", 3)
    config = read_run(first / "config.json")
    assert (config.method_name, config["epochs"], config["limit_train"], config["seed"]) == ("yopo-1-1", 2, 40, 3)
    own = ("train", "--config", first / "config.json", "--no-compare-natural")
    assert command(*own, "--out", tmp_path / "again")[0] == 0
    assert [one["loss"] for one in log(tmp_path / "again")] == [one["loss"] for one in log(first)]
    assert command(*own, "--out", tmp_path / "other", "--method", "pgd-2", "--epochs", 1)[0] == 0
    other = read_run(tmp_path / "other" / "config.json")
    assert (other.method_name, other["epochs"], other["seed"]) == ("pgd-2", 1, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[ball]\neps = '8/255'", "settings.toml: not a configuration (eps: got '8/255', expected a finite number"),
        ("[ball]\nepsilon = 1", "settings.toml: not a configuration (ball: unknown settings: epsilon)"),
        ("[ball", "settings.toml: not a configuration ("),
        (None, "settings.toml: no such file"),
    ],
)
@pytest.mark.parametrize("name", ["train", "compare"])
def test_a_wrong_file_is_one_line(tmp_path, command, name, content, message):
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_text(content)
    methods = ["--methods", "natural,fast"] if name == "compare" else []
    status, out, err = command(name, "--config", file, *methods, "--out", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_comparison_from_a_file(tmp_path, command):
    file = tmp_path / "settings.toml"
    file.write_text(TINY.replace('[method]\nname = "yopo-1-1"\n', ""))
    methods = "natural,yopo-1-1:epochs=1"
    assert command("compare", "--config", file, "--methods", methods, "--out", tmp_path / "c")[0] == 0
    assert [len(log(tmp_path / "c" / name)) for name in ("natural", "yopo-1-1")] == [2, 1]


def test_a_finished_run_is_extended_as_if_it_had_been_longer_from_the_start(command, trained):
    short, long = trained("short"), trained("long", "--epochs", 4)
    assert json.loads((short / "summary.json").read_text())["yopo"]["clean"] >= 0
    status, out, err = command("train", "--resume", short, "--epochs", 4)
    assert (status, err) == (0, "")
    assert "epoch 2/" not in out
    assert read_run(short / "config.json") == read_run(long / "config.json")
    assert [one["epoch"] for one in log(short)] == [1, 2, 3, 4]
    assert [one["loss"] for one in log(short)] == [one["loss"] for one in log(long)]
    found, expected = (load_checkpoint(folder)["model"] for folder in (short, long))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    # And once more, with what it was given; the longer run is the run.
    assert command("train", "--resume", short)[0] == 0
    assert read_run(short / "config.json") == change_config(read_run(long / "config.json"))


def test_what_may_not_change_when_a_run_goes_on(command, trained):
    folder = trained("run", "--schedule", "cosine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for options, message in (
        (("--epochs", 3), "epochs: got 3 for a run of 2 with schedule cosine, whose rate depends on the length of the "
         "run: what is done was done at other rates; start a new run, or one with schedule piecewise, which can be "
         "extended"),
        (("--epochs", 1), "epochs: got 1, expected at least the run's own 2"),
        (("--eps", "0.2"), "--resume takes its settings from the run, got --eps; only --data-dir, --device, --profile"),
        (("--method", "pgd"), "--resume takes its settings from the run, got --method"),
        (("--config", "f.toml"), "--resume takes its settings from the run: --preset, --config, --out and"),
    ):  # fmt: skip
        status, out, err = command("train", "--resume", folder, *options)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"yopo: {message}")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert command("train", "--resume", folder, "--epochs", 2)[0] == 0
