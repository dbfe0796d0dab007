# SPDX-License-Identifier: MIT
"""`yopo evaluate` of several networks: one table, and what fails is named beside it."""

import csv
import io
import json
from importlib import import_module

import pytest

from yopo_ext.cli import main
from yopo_ext.cli.argument_order import free_the_paths
from yopo_ext.evaluation import PGDAttack, Report, ReportTable
from yopo_ext.training import make_config, run_job

COMMON = {"limit_train": 64, "limit_eval": 12, "curve_steps": 1, "eval_steps": 2, "epochs": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs of different radii and steps, one of them with its epochs, and a folder that is none."""
    root = tmp_path_factory.mktemp("runs")
    for name, changes in {"a": {"eps": 0.15, "keep_epochs": True, "epochs": 2}, "b": {"eval_steps": 3}}.items():
        config = make_config(method="natural", **{**COMMON, **changes})
        run_job(config, root / name, compare_natural=False, resume=False, show=False)
    (root / "broken").mkdir()
    (root / "broken" / "last.pt").write_bytes(b"nothing")
    return root


@pytest.fixture
def evaluate(capsys, monkeypatch, root):
    monkeypatch.chdir(root)

    def run(*arguments):
        try:
            status = main(["evaluate", "--device", "cpu", *map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_one_table_of_what_each_alone_comes_to(evaluate):
    status, out, err = evaluate("a", "b", "--losses", "ce", "--format", "json")
    assert (status, err) == (0, "")
    found = json.loads(out)["networks"]
    for name in ("a", "b"):
        alone = json.loads(evaluate(name, "--losses", "ce", "--json")[1])
        assert found[name] == {key: alone[key] for key in found[name]}
    assert (found["a"]["eps"], list(found["b"]["robust"])) == (0.15, ["PGD-3, ce"])
    table = evaluate("--attacks", "pgd", "--losses", "ce", "a", "b")[1].splitlines()
    assert [line.split()[0] for line in table] == ["network", "-------", "a", "b"]
    assert table[0].split("  ")[0] == "network"
    assert "PGD-2, ce %" in table[0]
    assert "PGD-3, ce %" in table[0]
    assert table[2].split() == ["a", *table[2].split()[1:3], "-", table[2].split()[4], "linf", "0.15", "12"]


def test_csv_and_markdown_hold_the_same_figures(evaluate):
    given = ("a", "b", "--attacks", "clean")
    rows = list(csv.DictReader(io.StringIO(evaluate(*given, "--format", "csv")[1])))
    assert [row["network"] for row in rows] == ["a", "b"]
    assert rows[0]["images"] == "12"
    lines = evaluate(*given, "--format", "markdown")[1].splitlines()
    assert lines[2] == f"| a | {rows[0]['clean %']} | - | - | 12 |"
    (alone,) = csv.DictReader(io.StringIO(evaluate("a", "--attacks", "clean", "--format", "csv")[1]))
    assert {**alone, "network": "a"} == rows[0]


def test_a_folder_of_epochs_is_a_row_an_epoch(evaluate):
    status, out, _ = evaluate("a/epochs", "b", "--attacks", "clean", "--format", "json")
    assert status == 0
    assert list(json.loads(out)["networks"]) == ["epoch 1", "epoch 2", "b"]


def test_what_fails_is_named_and_stops_no_other(evaluate):
    status, out, err = evaluate("a", "broken", "nowhere", "b", "--attacks", "clean", "--format", "json")
    found = json.loads(out)["networks"]
    assert status == 1
    assert list(found) == ["a", "broken", "nowhere", "b"]
    assert "not readable as a checkpoint" in found["broken"]["error"]
    assert found["nowhere"]["error"].endswith("no such checkpoint")
    assert found["b"]["images"] == 12
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["broken", "nowhere"]
    assert "failed" in evaluate("a", "broken", "--attacks", "clean")[1]


def test_what_is_wrong_for_all_is_one_line(evaluate):
    for words, message in (
        (["--alpha", "0.1", "--attacks", "clean"], "--alpha: goes with --attacks"),
        (["--sweep-eps", "0.1", "--format", "csv"], "--sweep-eps: goes with --format table or json"),
        (["--transfer", "a"], "--transfer: goes with one checkpoint"),
        (["--plots", "p"], "--plots: several networks have a picture of their sweeps"),
        (["a"], "networks to measure must differ, got a/last.pt, b/last.pt, a/last.pt"),
    ):
        status, out, err = evaluate("a", "b", *words)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1


def test_sweeps_of_several_are_one_table_and_one_picture(evaluate, tmp_path):
    given = ("--losses", "ce", "--sweep-eps", "0", "0.1", "--sweep-steps", "1", "2")
    status, out, err = evaluate("a", "broken", "b", *given, "--plots", tmp_path / "p", "--format", "json")
    assert (status, err.count("\n")) == (1, 1)
    found = json.loads(out)["networks"]
    for name in ("a", "b"):
        assert found[name]["sweeps"] == json.loads(evaluate(name, *given, "--json")[1])["sweeps"]
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"eps.png", "steps.png"}
    tables = evaluate("a", "b", *given)[1].split("\n\n")
    assert [table.split()[0] for table in tables] == ["network", "eps", "steps"]
    eps = [line.split() for line in tables[1].splitlines()]
    assert eps[0] == ["eps", "a", "b"]
    assert eps[2] == ["clean", *(f"{found[name]['clean']:.2f}" for name in ("a", "b"))]
    assert [row[1] for row in eps[3:]] == [f"{value:.2f}" for value in found["a"]["sweeps"][0]["curves"]["PGD-2, ce"]]


def test_interrupted_it_prints_what_it_has(evaluate, monkeypatch):
    evaluate_many = import_module("yopo_ext.training.runs.evaluate_many")  # a function has the same name
    real, seen = evaluate_many.run_evaluation, []

    def second_is_interrupted(*arguments, **options):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(evaluate_many, "run_evaluation", second_is_interrupted)
    status, out, _ = evaluate("a", "b", "a/epochs", "--attacks", "clean", "--format", "json")
    found = json.loads(out)["networks"]
    assert status == 130
    assert found["a"]["images"] == 12
    assert {found[name]["error"] for name in ("b", "a/epoch 1", "a/epoch 2") if name in found} == {"interrupted"}


def test_paths_come_out_of_lists():
    lists = {"--attacks": ("fgsm", "pgd").__contains__}
    given = ["--attacks", "fgsm", "pgd", "runs/A", "runs/B", "--limit", "9"]
    assert free_the_paths(given, lists) == ["runs/A", "runs/B", "--attacks", "fgsm", "pgd", "--limit", "9"]
    assert free_the_paths(["--attacks", "fgsm", "pdg"], lists) == ["--attacks", "fgsm", "pdg"]


def test_cells_that_have_no_figure():
    weak, strong = PGDAttack(0.1, steps=1), PGDAttack(0.2, steps=5)
    table = ReportTable({
        "a|b": Report(10, 50.0, {"weak": 30.0}, 30.0, {"weak": weak}),
        "c": Report(10, 60.0, {"strong": 20.0}, 20.0, {"strong": strong}),
        "d": "gone",
    })  # fmt: skip
    lines = table.to_csv().splitlines()
    assert lines[0] == "network,clean %,weak %,strong %,worst case %,norm,eps,images,error"
    assert lines[1:] == ["a|b,50.00,30.00,,30.00,linf,0.1,10,", "c,60.00,,20.00,20.00,linf,0.2,10,",
                         "d,failed,,,,,,,gone"]  # fmt: skip
    assert "| a\\|b | 50.00 | 30.00 | - | 30.00 | linf | 0.1 | 10 |" in table.to_markdown()
