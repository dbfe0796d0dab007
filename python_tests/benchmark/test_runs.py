# SPDX-License-Identifier: MIT
"""bench/runs: the scripts' commands are valid, an interrupted comparison goes on, and results are collected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yopo_ext.cli import build_parser
from yopo_ext.cli.compare import config_of
from yopo_ext.cli.settings import given_settings
from yopo_ext.training import Config, change_config, make_config, run_comparison

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "bench" / "runs"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs a script of bench/runs in an empty folder, with a `yopo` that only notes its arguments."""
    programs, notes = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    (programs / "yopo").write_text(f'#!/bin/sh\necho "$@" >>{notes}\necho "{{}}"\n')
    (programs / "yopo").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str, **environment: str) -> list[list[str]]:
        notes.unlink(missing_ok=True)
        subprocess.run([RUNS / name, *arguments], check=True, env=os.environ | environment)
        return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

    return run


def configurations(arguments: list[str]) -> list[Config]:
    """What `yopo compare` would train; it checks them all before the first."""
    options = build_parser().parse_args(arguments)
    return [config_of(text, given_settings(options)) for text in options.methods.split(",")]


def test_the_mnist_methods_are_trained_with_three_seeds(script):
    calls = script("mnist_methods.sh", "DIR")
    found = [configurations(arguments) for arguments in calls]
    assert [len(configs) for configs in found] == [7, 6, 6]
    assert [configs[0].loop.seed for configs in found] == [0, 1, 2]
    for config in (config for configs in found for config in configs):
        assert (config["dataset"], config["data_dir"], config["limit_train"] // config["batch_size"]) == (
            "mnist",
            "DIR",
            120,
        )


def test_the_cifar10_methods_and_what_n_does(script):
    methods, relu = map(configurations, script("cifar10_methods.sh", "DIR", "--compile"))
    assert {config.method.name for config in methods} == {
        "natural", "fast", "yopo", "free", "trades-yopo", "pgd", "trades"
    }  # fmt: skip
    assert all(config["device"] == "cuda" and config["compile"] for config in methods + relu)
    assert [(config["m"], config["n"]) for config in relu] == [(5, 3), (3, 5), (3, 1)]
    assert {config.model.model for config in relu} == {"preactresnet18-relu"}
    assert len(script("cifar10_methods.sh", "DIR", SEEDS="0 1")) == 4


def test_a_comparison_is_started_resumed_or_left_alone(script, tmp_path):
    (first,) = script("start_or_resume.sh", "f", "--methods", "natural,fast", LIMIT_S="60")
    assert first == ["compare", "--methods", "natural,fast", "--out", "f"]
    (tmp_path / "f" / "natural").mkdir(parents=True)
    (tmp_path / "f" / "natural" / "config.json").touch()
    assert script("start_or_resume.sh", "f", "--methods", "natural,fast") == [["compare", "--resume", "f"]]
    (tmp_path / "f" / "summary.json").touch()
    assert script("start_or_resume.sh", "f", "--methods", "natural,fast") == []


def test_the_limit_ends_in_a_failure(script, tmp_path):
    (tmp_path / "bin" / "yopo").write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        script("start_or_resume.sh", "f", LIMIT_S="0.2")
    assert error.value.returncode == 124


def test_final_networks_are_attacked_once(script, tmp_path):
    (tmp_path / "c" / "fast").mkdir(parents=True)
    (tmp_path / "c" / "fast" / "config.json").touch()
    calls = script("attack_finals.sh", "c", "500", "100", "--device", "cuda")
    for arguments in calls:
        assert build_parser().parse_args(arguments).device == "cuda"
    assert sorted(path.name for path in (tmp_path / "c" / "fast").glob("*.json")) == [
        "autoattack.json", "config.json", "pgd-20.json", "pgd-50-10.json"
    ]  # fmt: skip
    assert script("attack_finals.sh", "c") == []


def test_what_is_collected(tmp_path):
    base = make_config(epochs=1, limit_train=32, limit_eval=8, curve_images=8, curve_steps=1, eval_steps=1)
    for seed in (0, 1):
        configs = [change_config(base, seed=seed, method=name) for name in ("natural", "yopo")]
        run_comparison(configs, tmp_path / f"seed-{seed}", resume=False, show=False)
        os.utime(tmp_path / f"seed-{seed}" / "yopo-5-3" / "config.json", (0, 0))  # the order is not by age
    report = {"images": 8, "clean": 50.0, "worst": 25.0}
    (tmp_path / "seed-0" / "yopo-5-3" / "pgd-20.json").write_text(json.dumps(report))
    collected = subprocess.run(
        [sys.executable, "-c", "import collect, json, pathlib, sys; "
         "print(json.dumps(collect.collect(pathlib.Path(sys.argv[1]))))", tmp_path],
        env=os.environ | {"PYTHONPATH": str(RUNS)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    methods = json.loads(collected)["methods"]
    assert list(methods) == ["natural", "yopo-5-3"]
    yopo = methods["yopo-5-3"]
    assert "seed" not in yopo["settings"]
    assert set(yopo["seeds"]) == {"0", "1"}
    assert yopo["seeds"]["0"]["attacks"] == {"pgd-20": {"images": 8, "clean": 50.0, "robust": 25.0}}
    assert "attacks" not in yopo["seeds"]["1"]
    summary = json.loads((tmp_path / "seed-1" / "summary.json").read_text())["yopo-5-3"]
    assert summary.items() <= yopo["seeds"]["1"].items()
    assert [point["epoch"] for point in yopo["seeds"]["1"]["curve"]] == [1]
