# SPDX-License-Identifier: MIT
"""Adds to pytest-benchmark's results the machine and versions, and prints each case's ratios."""

from __future__ import annotations

import os
import platform
from collections import defaultdict

import torch

import yopo_ext
from yopo_ext.benchmark.cases import CASES
from yopo_ext.benchmark.floor import floor_seconds
from yopo_ext.native import native, why_not_native


def pytest_benchmark_update_machine_info(config, machine_info) -> None:
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
        if "cpu" not in contenders:
            continue
        ours = contenders["cpu"].stats.median
        floor = floor_seconds(by_name[name])
        write("")
        write(f"{name}: cpu {ours * 1e3:.2f} ms, {floor / ours:.0%} of the floor ({floor * 1e3:.2f} ms)")
        for other, bench in contenders.items():
            if other != "cpu":
                write(f"  {bench.stats.median / ours:6.1f} x faster than {other} ({bench.stats.median * 1e3:.2f} ms)")
    if cases:
        machine = platform.processor() or platform.machine()
        write(f"\nmedians; torch {torch.__version__}, {torch.get_num_threads()} threads, {machine}")
