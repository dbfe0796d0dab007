# SPDX-License-Identifier: MIT
"""Adds to pytest-benchmark's results the machine and versions, and prints each case's ratios."""

from __future__ import annotations

import os
import platform
from collections import defaultdict

import pytest
import torch

import yopo_ext
from yopo_ext.benchmark.cases import CASES
from yopo_ext.benchmark.contenders import OURS
from yopo_ext.benchmark.floor import floor_seconds
from yopo_ext.native import native, why_not_native


def pytest_addoption(parser) -> None:
    parser.addoption("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def device(request) -> str:
    return request.config.getoption("--device")


def pytest_benchmark_update_machine_info(config, machine_info) -> None:
    machine_info["device"] = config.getoption("--device")
    if machine_info["device"] == "cuda":
        machine_info["gpu"] = torch.cuda.get_device_name()
    machine_info["torch"] = torch.__version__
    machine_info["yopo_ext"] = yopo_ext.__version__
    machine_info["threads"] = torch.get_num_threads()
    isas = [] if why_not_native() else native().cpu_isas()
    machine_info["isa"] = os.environ.get("YOPO_EXT_CPU_ISA") or next(iter(isas), None)


def pytest_terminal_summary(terminalreporter, config) -> None:
    session = getattr(config, "_benchmarksession", None)
    cases = defaultdict(dict)
    for bench in session.benchmarks if session else []:
        if "contender" in bench.extra_info and bench.stats.rounds:
            cases[bench.extra_info["case"]][bench.extra_info["contender"]] = bench
    by_name = {case.name: case for case in CASES}
    write = terminalreporter.write_line
    for name, contenders in cases.items():
        best = next((backend for backend in OURS if backend in contenders), None)
        if best is None:
            continue
        ours = contenders[best].stats.median
        line = f"{name}: {best} {ours * 1e3:.3g} ms"
        if best == "cpu":  # a GPU's floor is measured by `yopo bench --device cuda`
            floor = floor_seconds(by_name[name])
            line += f", {floor / ours:.0%} of the floor ({floor * 1e3:.3g} ms)"
        write("")
        write(line)
        for other, bench in contenders.items():
            if other != best:
                write(f"  {bench.stats.median / ours:6.1f} x faster than {other} ({bench.stats.median * 1e3:.3g} ms)")
    if cases:
        machine = platform.processor() or platform.machine()
        write(f"\nmedians; torch {torch.__version__}, {torch.get_num_threads()} threads, {machine}")
