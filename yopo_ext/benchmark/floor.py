# SPDX-License-Identifier: MIT
"""What this machine can do at best: multiply-adds a second, bytes copied a second, both measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from statistics import median
from time import perf_counter

import torch

from ..native import native
from .cases import Case


def _seconds(run: Callable[[], object], rounds: int = 7) -> float:
    run()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return median(times)


@cache
def fma_rate() -> float:
    """Floating point operations a second of independent multiply-adds in registers, on all torch threads."""
    threads, isa = torch.get_num_threads(), os.environ.get("YOPO_EXT_CPU_ISA", "")
    iterations = 20_000_000
    flops = native().multiply_adds_cpu(1, threads, isa)
    return iterations * flops / _seconds(lambda: native().multiply_adds_cpu(iterations, threads, isa), 3)


@cache
def copy_rate() -> float:
    """Bytes a second read and written by a large copy."""
    source = torch.ones(64 << 20)
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / _seconds(lambda: target.copy_(source))


def floor_seconds(case: Case) -> float:
    """No program that does the case's least arithmetic and traffic is faster on this machine."""
    return max(case.flops / fma_rate(), case.bytes / copy_rate())
