# SPDX-License-Identifier: MIT
"""bench/gpu_check.sh keeps to its budget, and a second call goes on where the first stopped, with played commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import cuda_on_host
import pytest
import torch
from cases import CASES
from cubins import base_name
from differential import Shape, make_problem
from gpu_counters import METRICS, compare, parse

import yopo_ext
from yopo_ext.backends import torch_backend

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "bench/gpu_check.sh"
DRY_STEPS = ["build", "smoke", "correctness", "benchmark", "smallcnn", "smallcnn-graphed", "preactresnet18",
             "preactresnet18-graphed", "counters"]  # fmt: skip
#: Writes down what it is asked to do; a word in SLOW or BROKEN makes it slow or fail.
STAND_IN = """#!/usr/bin/env bash
[ "$1" = -c ] && exit 0
echo "$0 $*" >> "$CALLS"
for word in $SLOW; do [[ "$*" == *"$word"* ]] && sleep 30; done
for word in $BROKEN; do [[ "$*" == *"$word"* ]] && exit 1; done
exit 0
"""

pytestmark = pytest.mark.skipif(
    not SCRIPT.exists() or shutil.which("timeout") is None, reason="not in a source tree, or no timeout command"
)


class Machine:
    """Where the script runs with stand-ins for python and cmake."""

    def __init__(self, folder: Path) -> None:
        self.target, self.out, self.calls = folder / "target", folder / "out", folder / "calls"
        self.out.mkdir()
        for name in ("python", "cmake"):
            program = folder / name
            program.write_text(STAND_IN)
            program.chmod(0o755)
        self.environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(folder / "python"), "DRY_RUN": "1",
            "TARGET": str(self.target), "OUT": str(self.out), "CALLS": str(self.calls), "LEAST_S": "1", "SLOW": "",
            "BROKEN": "",
        }  # fmt: skip

    def check(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        return subprocess.run(
            ["bash", str(SCRIPT)], capture_output=True, text=True, env={**self.environment, **environment}
        )

    def outcomes(self) -> list[tuple[str, str]]:
        lines = (self.target / "steps.jsonl").read_text().splitlines()
        return [(entry["step"], entry["outcome"]) for entry in map(json.loads, lines)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_everything_runs_once_in_order_of_worth(machine):
    done = machine.check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.outcomes() == [(step, "passed") for step in DRY_STEPS]
    assert [path.name for path in machine.out.iterdir()] == ["gpu.tgz"]
    with tarfile.open(machine.out / "gpu.tgz") as archive:
        assert {Path(name).name for name in archive.getnames()} >= {"steps.jsonl", "build.log", "counters.log"}
    again = machine.check()
    assert again.returncode == 0
    assert machine.calls.read_text() == ""
    assert again.stdout.count("passed before") == len(DRY_STEPS)


def test_a_step_is_stopped_in_time_and_taken_up_again(machine):
    begin = time.monotonic()
    done = machine.check(BUDGET_S="4", SLOW="gpu_bench.py")
    assert time.monotonic() - begin < 12
    assert done.returncode == 3, done.stdout
    assert machine.outcomes()[-1] == ("benchmark", "stopped")
    assert f"left for another call: {' '.join(DRY_STEPS[3:])}" in done.stdout
    again = machine.check()
    assert again.returncode == 0
    assert machine.outcomes()[-6:] == [(step, "passed") for step in DRY_STEPS[3:]]
    assert "gpu_small_set" not in machine.calls.read_text()


def test_nothing_begins_without_time(machine):
    done = machine.check(BUDGET_S="10", LEAST_S="15")
    assert done.returncode == 3
    assert machine.calls.read_text() == ""
    assert "left for another call: build" in done.stdout


def test_a_failure_is_remembered_and_does_not_stop_the_rest(machine):
    done = machine.check(BROKEN="gpu_small_set")
    assert done.returncode == 1
    assert "failed: smoke" in done.stdout
    assert ("benchmark", "passed") in machine.outcomes()
    again = machine.check()
    assert again.returncode == 1  # not forgotten,
    assert machine.calls.read_text() == ""  # and not repeated,
    assert machine.check(STEPS="smoke").returncode == 0  # but when asked for
    assert machine.check().returncode == 0


SAID = """==PROF== Connected to process 7
"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
"0","void yopo::cuda::resident_kernel<X>","smsp__inst_executed.sum","inst","94,640"
"0","void yopo::cuda::resident_kernel<X>","gpu__time_duration.sum","ns","30,000"
"0","void yopo::cuda::resident_kernel<X>","sm__inst_executed_pipe_tensor.sum","inst","n/a"
"1","void yopo::cuda::fixed_kernel<X>","smsp__inst_executed.sum","inst","1"
"""


def test_counters_are_read_launch_by_launch():
    found = parse(SAID, ["resident_kernel", "fixed_kernel"])
    assert found == [{"instructions": 94640.0, "nanoseconds": 30000.0}, {"instructions": 1.0}]
    for others in (["fixed_kernel", "resident_kernel"], ["resident_kernel"]):
        with pytest.raises(ValueError, match=r"ncu profiled \['void yopo.*, expected \['"):
            parse(SAID, others)
    with pytest.raises(ValueError, match=r"ncu profiled \[\], .*Connected"):
        parse("==PROF== Connected", ["resident_kernel"])


def test_counters_are_put_beside_the_counted_ones():
    assert base_name("_ZN4yopo4cuda15resident_kernelINS0_9ReluSlopeEEEvNS0_1AE") == "resident_kernel"
    counted = {"step": {"instructions": 33750.0}, "rest": {"instructions": 60890.0}}
    both = compare(CASES["cifar-relu"], counted, [{"instructions": 94640.0}, {"instructions": 128390.0}])
    assert both["measured"] == both["counted"] == counted
    assert len(set(METRICS.values())) == len(METRICS)


def test_what_the_tests_put_on_a_gpu_is_a_backend(monkeypatch):
    monkeypatch.setattr(yopo_ext.backends, "_loaded", {})
    monkeypatch.setattr(cuda_on_host, "_moved", lambda item, device: item)  # no GPU here
    yopo_ext.backends.register("moved", cuda_on_host.OnTheGpu(torch_backend))
    problem = make_problem(Shape(2, 3, 6, 6, 8), activation="relu")
    found, expected = (
        yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, **problem.layer, steps=2, backend=backend)
        for backend in ("moved", "torch")
    )
    assert torch.equal(found, expected)
