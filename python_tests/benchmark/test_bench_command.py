# SPDX-License-Identifier: MIT
"""`yopo bench`: who is measured, the table, the JSON, and what it refuses."""

from __future__ import annotations

import json

import compare
import pytest
import torch

from yopo_ext.benchmark import measure as measuring
from yopo_ext.benchmark.cases import CASES
from yopo_ext.benchmark.measure import Measurement, Timing, choose_cases, measure
from yopo_ext.benchmark.report import to_document, to_table
from yopo_ext.benchmark.timing import quantile
from yopo_ext.cli import main

MACHINE = {"cpu": "some CPU", "threads": 2, "isa": None, "torch": "2.13.0"}


@pytest.fixture
def _cheap_floor(monkeypatch):
    """Measuring what the machine can do takes seconds."""
    monkeypatch.setattr(measuring, "floor_seconds", lambda case: 1e-6)


@pytest.mark.usefixtures("_cheap_floor")
def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert main(["bench", "--quick", "--cases", "wrn-linear,cifar-relu", "--json", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["wrn-linear-quick ...", "cifar-relu-quick ..."]
    document = json.loads(path.read_text())
    assert list(document["cases"]) == ["wrn-linear-quick", "cifar-relu-quick"]
    assert document["machine"]["torch"] == torch.__version__
    for case, contenders in document["cases"].items():
        assert {"torch", "authors", "lean"} < set(contenders)
        assert "compiled" not in contenders
        mine = contenders[document["backends"][case]]
        assert 0 < mine["q10"] <= mine["q1"] <= mine["median"] <= mine["q3"] <= mine["q90"]
        assert mine["rounds"] == 3
        for name, values in contenders.items():
            assert (f"| {case} | {name} |" in captured.out) == (
                "median" in values and name != document["backends"][case]
            )
    results = compare.read(path)
    assert all(row.verdict == "within noise" for row in compare.compare(results, results, 0.0))


def timing(median):
    return Timing(median, 0.9 * median, 0.95 * median, 1.05 * median, 1.1 * median, 7)


def test_the_table():
    timings = {"cpu": timing(2.0), "torch": timing(12.3456), "authors": timing(345.6)}
    found = Measurement(CASES[1], "cpu", timings, {"cuda": "no GPU"}, 1.0)
    table = to_table([found], MACHINE)
    assert table.splitlines()[0] == "cpu some CPU, threads 2, torch 2.13.0"
    assert "| cifar-linear | **cpu** | 2 ms | 1.8 – 2.2 | 1.00 | 50% |" in table
    assert "| cifar-linear | torch | 12.3 ms | 11.1 – 13.6 | 6.17 | 8% |" in table
    assert "| cifar-linear | authors | 346 ms | 311 – 380 | 172.80 | 0% |" in table
    assert table.endswith("* cifar-linear, cuda: not measured: no GPU")


def test_a_table_without_a_floor_or_without_ours():
    found = Measurement(CASES[1], "cpu", {"lean": timing(2.0)}, {"cpu": "RuntimeError: no"}, None)
    table = to_table([found], MACHINE)
    assert "| cifar-linear | lean | 2 ms | 1.8 – 2.2 |  |  |" in table
    assert json.loads(json.dumps(to_document([found], MACHINE)))["cases"]["cifar-linear"]["cpu"] == {
        "error": "RuntimeError: no"
    }


@pytest.mark.usefixtures("_cheap_floor")
def test_a_contender_that_fails_is_named_and_the_others_are_measured(monkeypatch):
    def fails(case, tensors):
        raise OSError("no compiler\nand a long explanation")

    monkeypatch.setitem(measuring.COMPETITORS, "compiled", fails)
    (case,) = choose_cases(["cifar-relu-batch-1"], quick=True)
    found = measure(case, "cpu", rounds=1)
    assert found.failures["compiled"] == "OSError: no compiler"
    assert {"authors", "lean", found.backend} <= set(found.timings)
    assert not {"compiled"} & set(found.timings)


@pytest.mark.usefixtures("_cheap_floor")
def test_every_backend_is_measured_or_says_why_not():
    (case,) = choose_cases(["wrn-linear"], quick=True)
    found = measure(case, "cpu", rounds=1, compiled=False)
    assert {"cuda", "triton", "cpu", "torch"} <= set(found.timings) | set(found.failures)
    assert not set(found.timings) & set(found.failures)
    assert all(found.failures.values())


def test_a_quick_case_is_not_taken_for_a_full_one():
    assert [case.name for case in choose_cases(None, quick=False)] == [case.name for case in CASES]
    assert not {case.name for case in choose_cases(None, quick=True)} & {case.name for case in CASES}


def test_quantiles():
    assert [quantile([3, 1, 2, 4], fraction) for fraction in (0, 0.25, 0.5, 0.9, 1)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "cifar"], "yopo: unknown case 'cifar'; known: mnist-head, "),
        (["--device", "tpu"], "yopo: device: got 'tpu', expected one of cpu, cuda"),
        (["--rounds", "0"], "yopo: rounds: got 0, expected at least 1"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys):
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(capsys):
    assert main(["bench", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "yopo: device: got 'cuda', but torch finds no GPU here\n"
