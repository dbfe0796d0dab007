# SPDX-License-Identifier: MIT

import json

import pytest

from yopo_ext.adversaries.method import METHODS
from yopo_ext.cli import main
from yopo_ext.cli.compare import config_of, require_read_by_one
from yopo_ext.training import Interrupted, Run, change_config, run_comparison
from yopo_ext.training.config.layout import KINDS, homes, source_homes
from yopo_ext.training.events.breakdown import breakdown_table
from yopo_ext.training.runs.comparison import SHARED, check_rows, row_labels, row_names


@pytest.fixture
def configs(runs):
    base = change_config(runs.config, epochs=2, alpha=0.03)
    return [change_config(base, method=method) for method in ("natural", "fast", "free-2", "yopo-2-2")]


def test_a_folder_for_each_method_and_one_figure(tmp_path, configs, capsys):
    summary = run_comparison(configs, tmp_path / "c", resume=False, reach=[0.5, 100])
    methods = ["natural", "fast", "free-2", "yopo-2-2"]
    assert list(summary) == [*methods, "eps", "seconds", "reached"]
    assert json.loads((tmp_path / "c" / "summary.json").read_text()) == summary
    assert {path.name for path in (tmp_path / "c").iterdir()} == {*methods, "summary.json", "accuracy-time.png"}
    for name in methods:
        assert len((tmp_path / "c" / name / "metrics.jsonl").read_text().splitlines()) == 2
    printed = capsys.readouterr().out
    assert all(label in printed for label in ("natural", "FastAT", "Free-2", "YOPO-2-2"))
    first = json.loads((tmp_path / "c" / "fast" / "metrics.jsonl").read_text().splitlines()[0])
    cost = {"seconds": round(first["seconds"], 2), "units": round(first["units_total"], 2)}
    assert summary["reached"]["fast"] == {"0.5": cost if first["curve_robust"] >= 0.5 else None, "100": None}
    assert summary["fast"]["units"] == pytest.approx(2 * first["units"], abs=0.01)
    table = {line.split("  ")[0].strip(): line.split() for line in printed.split("first robust by")[1].splitlines()}
    assert table["FastAT"][1:] == [f"{first['seconds']:.1f}", f"{first['units_total']:.4g}"]
    assert "front of robust accuracy over seconds: " in printed
    assert "front of robust accuracy over units: " in printed


def test_methods_that_would_share_a_folder(tmp_path, configs):
    with pytest.raises(ValueError, match="methods to compare must differ"):
        run_comparison([configs[0], configs[0]], tmp_path, resume=False)
    with pytest.raises(ValueError, match="no methods"):
        run_comparison([], tmp_path, resume=False)


def test_one_method_at_several_settings(tmp_path, configs, monkeypatch):
    yopo, natural = configs[3], configs[0]
    rows = [natural, yopo, change_config(yopo, alpha=0.01), change_config(yopo, seed=7, augment=True)]
    names = ["natural", "yopo-2-2", "yopo-2-2_alpha=0.01", "yopo-2-2_augment=True_seed=7"]
    assert row_names(rows) == names
    assert row_names(rows[::-1]) == names[::-1]
    assert row_names(rows[1:3]) == ["yopo-2-2_alpha=0.03", "yopo-2-2_alpha=0.01"]  # neither goes without saying
    summary = run_comparison(rows, tmp_path / "c", resume=False, show=False)
    assert [name for name in summary if name != "reached"] == [*names, "eps", "seconds"]
    monkeypatch.chdir(tmp_path)
    for name in names[2:]:
        for file in ("last.pt", "metrics.jsonl"):
            (tmp_path / "c" / name / file).unlink()
    assert main(["compare", "--resume", "c"]) == 0
    again = json.loads((tmp_path / "c" / "summary.json").read_text())
    for name in names:
        assert {**again[name], "seconds": 0} == {**summary[name], "seconds": 0}


def test_rows_of_one_method_have_names_and_labels_of_their_own():
    texts = ["yopo-5-3", "yopo-5-3:alpha=0.01", "yopo-5-3:optimizer=adam:lr=0.001", "yopo-5-3:augment=true"]
    rows = [config_of(text, {}) for text in texts]
    assert row_names(rows) == [
        "yopo-5-3", "yopo-5-3_alpha=0.01", "yopo-5-3_optimizer=adam_lr=0.001", "yopo-5-3_augment=True"
    ]  # fmt: skip
    assert len(set(row_labels(rows))) == 4
    close = [config_of(f"yopo-5-3:lr={lr}", {}) for lr in ("0.100001", "0.100002")]
    assert row_labels(close) == row_names(close) == ["yopo-5-3_lr=0.100001", "yopo-5-3_lr=0.100002"]
    check_rows(close)
    lists = [change_config(rows[0], milestones=milestones) for milestones in ((3, 9), (4,))]
    assert row_names(lists) == ["yopo-5-3_milestones=3-9", "yopo-5-3_milestones=4"]


def test_an_interrupted_comparison_goes_on(tmp_path, configs, runs, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("yopo_ext.training.host.interrupt.StopRequest", lambda: runs.stop_after(13))
        with pytest.raises(Interrupted):
            run_comparison(configs, tmp_path / "c", resume=False, show=False)
    assert (tmp_path / "c" / "fast" / "last.pt").exists()
    assert not (tmp_path / "c" / "free-2" / "last.pt").exists()
    monkeypatch.chdir(tmp_path)
    begun = tmp_path / "c" / "natural" / "config.json"
    begun.write_text(begun.read_text())  # as a copy may have it, the youngest
    assert main(["compare", "--resume", "c"]) == 0
    summary = json.loads((tmp_path / "c" / "summary.json").read_text())
    whole = run_comparison(configs, tmp_path / "w", resume=False, show=False)
    assert list(summary) == list(whole)
    for name in ("natural", "fast", "free-2", "yopo-2-2"):
        assert {**summary[name], "seconds": 0} == {**whole[name], "seconds": 0}


def test_a_comparison_that_lacks_a_run_does_not_go_on_without_it(tmp_path, configs, capsys):
    run_comparison(configs, tmp_path, resume=False, show=False)
    (tmp_path / "fast" / "config.json").unlink()
    assert main(["compare", "--resume", str(tmp_path)]) == 2
    assert "fast/config.json: no such file, of a comparison of 4 runs" in capsys.readouterr().err


def test_settings_for_one_method_only():
    config = config_of("free-5:epochs=4:lr=0.05", {"epochs": 9, "batch_size": 32})
    assert (config.method_name, config["epochs"], config["lr"], config["batch_size"]) == ("free-5", 4, 0.05, 32)
    for text, message in (
        ("pgd-10:speed=3", "'speed=3' in 'pgd-10:speed=3' is not SETTING=VALUE"),
        ("pgd-10:epochs", "'epochs' in 'pgd-10:epochs' is not SETTING=VALUE"),
        ("pgd-10:epochs=many", "'epochs=many' in"),
        ("pgd-10:augment=yes", "got 'yes', expected true or false"),
        ("pgd-10:lr=8/0", "not a number"),
        ("natural:limit-train=16", "got limit_train for one method, expected it for all"),
        ("mart", "method: got 'mart', expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            config_of(text, {})


# Of the settings that take words or have a range of their own; 7 is for the others.
WORDS = {
    "dataset": "mnist", "model": "smallcnn", "activation": "tanh", "norm": "l2", "bn_mode": "eval", "reduction": "sum",
    "first_layer_grad": "both", "delay": "1", "optimizer": "nesterov", "schedule": "cosine", "amp": "off",
    "memory_format": "contiguous", "momentum": "0.5", "label_smoothing": "0.5", "ewa_decay": "0.5", "alpha": "0.5",
    "objective": "trades", "bn_statistics": "batch", "head": "random-centres", "centralize": "all", "form": "recursive",
    "smoothing_kind": "zipf", "start": "class", "start_decay": "0.5", "consistency_outputs": "detached",
    "attack_in_kernel": "off", "on_overfitting": "restart",
}  # fmt: skip
#: An event's settings that not every method goes with.
NEEDS = {
    "steps_warmup_epochs": "pgd", "start": "fast", "start_decay": "fast", "consistency_ramp": "fast",
    "cosine_every": "fast",
}  # fmt: skip


@pytest.mark.parametrize("name", [*KINDS, *homes()])
def test_each_setting_of_one_row_is_honoured_and_told_or_refused(name):
    value, common = WORDS.get(name, "7"), {"held_out": 20, "epochs": 12}
    found = homes().get(name, ())
    owners = [home.owner for home in found if home.section == "method"]
    usual = "yopo" if not owners or "yopo" in owners else next(one for one in owners if METHODS[one].numbers)
    method, flag = NEEDS.get(name, usual), name.replace("_", "-")
    one = found[0].option if found else None
    ensemble = {"objective": "adp", "members": 3}
    needs = {
        "beta": {"objective": "trades"},
        "members": ensemble,
        "entropy_weight": ensemble,
        "diversity_weight": ensemble,
        "consistency_ramp": {"consistency": 1.0},
        "consistency_outputs": {"consistency": 1.0},
        "ewa_bn_batches": {"ewa_decay": 0.5},
        "smoothing_kind": {"label_smoothing": 0.5},
        "most_restarts": {"on_overfitting": "restart"},
    }
    chosen = needs.get(name, {})
    chosen |= {found[0].section: found[0].owner} if found and found[0].section in ("head", "start") else {}
    if name in (*SHARED, *source_homes(), "method") or (
        one is not None and (one.kind is bool or one.several or one.host)
    ):
        with pytest.raises(ValueError, match=f"--methods: '{flag}={value}' in"):
            config_of(f"{method}:{flag}={value}", common)
        return
    numbers = "".join("-9" for _ in METHODS[method].numbers)
    rows = [config_of(text, common | chosen) for text in (f"{method}:{flag}={value}", f"{method}{numbers}")]
    expected = value if one is None else one.kind(value) if value not in one.words else value
    assert rows[0][name] == expected != rows[1].get(name)
    check_rows(rows)
    tells = f"-{value}" if name in METHODS[method].numbers else f", {name} {value}"
    assert tells in row_labels(rows)[0]


def test_rows_share_their_images_and_how_they_are_measured(configs):
    others = {"limit_train": 9, "limit_eval": 9, "held_out": 3, "eps": 0.01, "norm": "l2", "eval_steps": 1,
              "eval_alpha": 0.5, "curve_steps": 3, "curve_images": 9, "dataset": "mnist", "data_dir": "d",
              "device": "cuda"}  # fmt: skip
    assert set(others) == set(SHARED)
    for name, value in others.items():
        with pytest.raises(ValueError, match=f"{name}: got .* in one comparison, expected one value"):
            check_rows([*configs[:3], change_config(configs[3], **{name: value})])


def test_a_common_setting_goes_to_the_rows_that_read_it():
    common = {"m": 4, "eps_warmup_epochs": 2.0, "momentum": 0.7}
    rows = [config_of(text, common) for text in ("natural", "free", "yopo-3-3", "pgd:optimizer=adam:lr=0.01")]
    assert [row["m"] for row in rows[1:3]] == [4, 3]
    assert [row["eps_warmup_epochs"] for row in rows] == [0, 2, 2, 2]
    assert [row["momentum"] for row in rows[:3]] == [0.7] * 3
    require_read_by_one(common, rows)
    assert row_labels(rows)[3] == "PGD-10, optimizer adam, lr 0.01"
    assert row_labels(rows)[0] == "natural, optimizer sgd, lr 0.05"
    for unused, texts, message in (
        (
            {"pgd_steps": 3},
            ["natural", "free"],
            "pgd_steps: got 3, but none of these methods reads it: see --pgd-steps in --help",
        ),
        ({"m": 4}, ["yopo-3-3", "free-5"], "m: got 4, but every method has its own"),
    ):
        with pytest.raises(ValueError, match=message):
            require_read_by_one(unused, [config_of(text, unused) for text in texts])


def test_own_settings_stand_in_table_and_figure(tmp_path, configs, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "yopo_ext.training.runs.outcome.plot_accuracy_time", lambda curves, file, title: seen.append([*curves, title])
    )
    rows = [change_config(configs[0], lr=0.03), configs[3]]
    run_comparison(rows, tmp_path / "c", resume=False)
    assert seen[0][:2] == ["natural, lr 0.03", "YOPO-2-2, lr 0.05"]
    printed = capsys.readouterr().out
    assert "natural, lr 0.03 " in printed
    run_comparison([change_config(configs[0], activation="tanh"), configs[3]], tmp_path / "d", resume=False, show=False)
    assert seen[1][0] == "natural, activation tanh"


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--limit-train", "32", "--limit-eval", "16", "--epochs", "1", "--curve-steps", "1", "--eval-steps", "1"]
    assert main(["compare", "--methods", "natural,yopo-1-1", *options, "--out", "c"]) == 0
    assert "YOPO-1-1" in capsys.readouterr().out
    assert main(["compare", "--methods", "natural,yopo-1-1", *options, "--out", "c"]) == 2
    assert "c holds a run already: resume it" in capsys.readouterr().err
    assert main(["compare", "--resume", "c", "--reach", "1,5.5"]) == 0
    assert "5.5 %, s" in capsys.readouterr().out
    for arguments, message in (
        (
            ["--resume", "c", "--reach", "many"],
            "--reach: got 'many', expected numbers separated by commas",
        ),
        (["--resume", "c", "--reach", "0"], "reach: got 0, expected accuracies in percent, above 0 and at most 100"),
        ([], "--methods: expected names separated by commas"),
        (["--methods", "natural,natural"], "methods to compare must differ"),
        (["--resume", "c", "--epochs", "2"], "--resume takes its settings from the comparison"),
        (["--resume", "nowhere"], "nowhere: no runs to go on with"),
    ):
        capsys.readouterr()
        assert main(["compare", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_where_the_time_of_a_step_goes(runs, capsys):
    config = change_config(runs.config, profile=True, epochs=1)
    run = Run(config, runs.root / "run", runs.data(config))
    run.fit()
    trainer = run.trainer
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
