# SPDX-License-Identifier: MIT

import json
from dataclasses import replace

import pytest

from yopo_ext.cli import main
from yopo_ext.cli.compare import config_of
from yopo_ext.training import Interrupted, run_comparison
from yopo_ext.training.breakdown import breakdown_table


@pytest.fixture
def configs(runs):
    base = replace(runs.config, epochs=2, alpha=0.03)
    return [replace(base, method=method, pgd_steps=2) for method in ("natural", "fast", "free", "yopo")]


def test_a_folder_for_each_method_and_one_figure(tmp_path, configs, capsys):
    summary = run_comparison(configs, tmp_path / "c", resume=False)
    methods = ["natural", "fast", "free-2", "yopo-2-2"]
    assert list(summary) == [*methods, "eps", "seconds"]
    assert json.loads((tmp_path / "c" / "summary.json").read_text()) == summary
    assert {path.name for path in (tmp_path / "c").iterdir()} == {*methods, "summary.json", "accuracy-time.png"}
    for name in methods:
        assert len((tmp_path / "c" / name / "metrics.jsonl").read_text().splitlines()) == 2
    printed = capsys.readouterr().out
    assert all(label in printed for label in ("natural", "FastAT", "Free-2", "YOPO-2-2"))


def test_methods_that_would_share_a_folder(tmp_path, configs):
    with pytest.raises(ValueError, match="methods to compare must differ"):
        run_comparison([configs[0], configs[0]], tmp_path, resume=False)
    with pytest.raises(ValueError, match="no methods"):
        run_comparison([], tmp_path, resume=False)


def test_an_interrupted_comparison_goes_on(tmp_path, configs, runs, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("yopo_ext.training.interrupt.StopRequest", lambda: runs.stop_after(13))
        with pytest.raises(Interrupted):
            run_comparison(configs, tmp_path / "c", resume=False, show=False)
    assert (tmp_path / "c" / "fast" / "last.pt").exists()
    assert not (tmp_path / "c" / "free-2" / "last.pt").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--resume", "c"]) == 0
    summary = json.loads((tmp_path / "c" / "summary.json").read_text())
    whole = run_comparison(configs, tmp_path / "w", resume=False, show=False)
    for name in ("natural", "fast", "free-2", "yopo-2-2"):
        assert {**summary[name], "seconds": 0} == {**whole[name], "seconds": 0}


def test_settings_for_one_method_only():
    config = config_of("free-5:epochs=4:lr=0.05", {"epochs": 9, "batch_size": 32})
    assert (config.method, config.m, config.epochs, config.lr, config.batch_size) == ("free", 5, 4, 0.05, 32)
    for text, message in (
        ("pgd-10:speed=3", "'speed=3' in 'pgd-10:speed=3' is not SETTING=VALUE"),
        ("pgd-10:epochs", "'epochs' in 'pgd-10:epochs' is not SETTING=VALUE"),
        ("pgd-10:epochs=many", "'epochs=many' in"),
        ("pgd-10:eps=8/0", "not a number"),
        ("mart", "unknown method 'mart'"),
    ):
        with pytest.raises(ValueError, match=message):
            config_of(text, {})


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--limit-train", "32", "--limit-eval", "16", "--epochs", "1", "--curve-steps", "1", "--eval-steps", "1"]
    assert main(["compare", "--methods", "natural,yopo-1-1", *options, "--out", "c"]) == 0
    assert "YOPO-1-1" in capsys.readouterr().out
    assert main(["compare", "--methods", "natural,yopo-1-1", *options, "--out", "c"]) == 2
    assert "c holds a run already: resume it" in capsys.readouterr().err
    assert main(["compare", "--resume", "c"]) == 0
    for arguments, message in (
        ([], "--methods: expected names separated by commas"),
        (["--methods", "natural,natural"], "methods to compare must differ"),
        (["--resume", "c", "--epochs", "2"], "--resume takes its settings from the comparison"),
        (["--resume", "nowhere"], "nowhere: no runs to go on with"),
    ):
        capsys.readouterr()
        assert main(["compare", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_where_the_time_of_a_step_goes(runs, capsys):
    trainer = runs.trainer(profile=True, epochs=1)
    trainer.show = True
    trainer.fit(runs.stop_after(10**9))
    spans = trainer.log[0]["spans"]
    assert set(spans) == {"data", "passes", "inner", "optimizer"}
    assert all(seconds > 0 for seconds in spans.values())
    assert sum(spans.values()) <= trainer.log[0]["seconds"] + 1e-3
    printed = capsys.readouterr().out
    assert "full passes" in printed
    table = breakdown_table({"passes": 0.3, "inner": 0.1}, 0.5, 10)
    lines = [line.split() for line in table.splitlines()]
    assert ["other", "10.00", "20.0%"] in lines
    assert ["step", "50.00", "100.0%"] in lines
