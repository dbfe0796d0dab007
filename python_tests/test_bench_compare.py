# SPDX-License-Identifier: MIT
"""bench/compare.py: what it reads, what it calls noise, what it refuses, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import compare
import pytest

RESULTS = sorted((Path(__file__).resolve().parent.parent / "bench" / "results").glob("cpu-*.json"))


def document(median=10.0, spread=0.4, rounds=16, contender="cpu", **machine):
    values = {"median": median, "q1": median - spread / 2, "q3": median + spread / 2, "rounds": rounds}
    return {
        "machine": {"cpu": "some CPU", "threads": 2, "isa": "avx2", **machine},
        "unit": "ms",
        "cases": {"cifar-relu": {contender: values}},
    }


@pytest.fixture
def run(tmp_path, capsys):
    def run(old, new, *options):
        paths = [tmp_path / "old.json", tmp_path / "new.json"]
        for path, content in zip(paths, (old, new), strict=True):
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        status = compare.main([*map(str, paths), *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_noise_is_the_notches_of_both_medians_in_quadrature():
    (row,) = compare.compare(compare.parse(document()), compare.parse(document(20.0, 1.6)), least=0.0)
    assert row.noise == pytest.approx(1.57 / 4 * (0.04**2 + 0.08**2) ** 0.5)
    assert row.ratio == 2


@pytest.mark.parametrize(
    ("median", "spread", "verdict", "status"),
    [
        (10.4, 0.1, "within noise", 0),
        (10.7, 0.1, "slower", 1),
        (9.3, 0.1, "faster", 0),
        (10.7, 4.0, "within noise", 0),
    ],
)
def test_verdicts(run, median, spread, verdict, status):
    found, out, err = run(document(spread=0.1), document(median, spread))
    assert found == status
    assert f"| {verdict} |" in out
    assert ("slower: cifar-relu cpu" in err) == (status == 1)


def test_what_differs_from_run_to_run_can_be_stated(run):
    assert run(document(spread=0), document(10.4, 0))[0] == 0
    assert run(document(spread=0), document(10.4, 0), "--least", "0.01")[0] == 1


@pytest.mark.parametrize("contender", compare.COMPETITORS)
def test_competitors_are_shown_and_not_judged(run, contender):
    status, out, _ = run(document(contender=contender), document(100.0, contender=contender))
    assert status == 0
    assert "| 10.000 | ± 5.0% | (slower) |" in out


def test_a_row_that_is_gone_is_a_regression(run):
    new = document()
    new["cases"] = {"cifar-linear": new["cases"]["cifar-relu"]}
    status, out, err = run(document(), new)
    assert status == 1
    assert "gone: cifar-relu cpu" in err
    assert "| new |" in out
    failed = document()
    failed["cases"]["cifar-relu"] = {"cpu": {"error": "RuntimeError: no"}, "torch": {"median": 1, "q1": 1, "q3": 1}}
    assert run(document(), failed)[0] == 1


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"threads": 4}, {"isa": "avx512"}, {"gpu": "some GPU"}])
def test_different_machines_are_refused(run, change):
    status, out, err = run(document(), document(**change))
    assert (status, out) == (2, "")
    assert f"different machines: {next(iter(change))}: " in err
    status, out, err = run(document(), document(**change), "--force")
    assert status == 0
    assert "| within noise |" in out
    assert "different machines" in err


def test_another_torch_is_said_and_compared(run):
    status, out, _ = run(document(torch="2.12.0"), document(torch="2.13.0"))
    assert status == 0
    assert "torch: 2.12.0 -> 2.13.0" in out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}, "cases": {}}', '{"cases": {"a": {"b": 1}}}'])
def test_what_holds_no_results_is_refused(run, content):
    status, _, err = run(document(), content)
    assert status == 2
    assert "new.json" in err
    assert len(err.splitlines()) == 1


def test_raw_results_of_pytest_benchmark():
    stats = {"median": 0.01, "q1": 0.0098, "q3": 0.0102, "rounds": 16}
    raw = {
        "machine_info": {"cpu": {"brand_raw": "some CPU"}, "threads": 2, "isa": "avx2"},
        "benchmarks": [
            {"extra_info": {"case": "cifar-relu", "contender": "cpu"}, "stats": stats},
            {"extra_info": {}, "stats": stats},
        ],
    }
    condensed = compare.parse(document())
    results = compare.parse(raw)
    assert not compare.different_machine(results, condensed)
    (row,) = compare.compare(results, condensed, 0.0)
    assert row.ratio == pytest.approx(1)
    assert row.old.noise == pytest.approx(row.new.noise)


def test_results_in_seconds_with_deciles():
    values = {"median": 1e-5, "q10": 0.9e-5, "q90": 1.1e-5}
    cases = {"cifar-relu": {"bytes": 1.0, "flops": 1.0, "contenders": {"ours-high": values, "copy": {"error": "no"}}}}
    results = compare.parse({"machine": {"gpu": "some GPU"}, "cases": cases})
    assert set(results.timings) == {("cifar-relu", "ours-high")}
    found = results.timings["cifar-relu", "ours-high"]
    assert found.median == pytest.approx(0.01)
    assert found.noise == pytest.approx(1.57 * 0.2 * 1.349 / 2.563)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_committed_results_equal_themselves(path, capsys):
    assert compare.main([str(path), str(path)]) == 0
    assert "0 of our timings changed beyond noise" in capsys.readouterr().out


def test_the_committed_results_of_two_instruction_sets_are_not_compared(capsys):
    assert compare.main([str(path) for path in RESULTS]) == 2
    assert "isa: avx2 and avx512" in capsys.readouterr().err
