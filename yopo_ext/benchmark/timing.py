# SPDX-License-Identifier: MIT
"""The clock: wall time on a CPU; on a GPU device events, with a cold L2 cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

Run = Callable[[], object]
CACHE_BYTES = 256 << 20  # more than the L2 of any GPU


def seconds_on_cpu(run: Run, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times


def seconds_on_gpu(run: Run, rounds: int) -> list[float]:
    """Each round starts with a cold L2, and the clock is the device's own."""
    flush = torch.empty(CACHE_BYTES, dtype=torch.uint8, device="cuda")
    for _ in range(3):
        run()
    pairs = []
    for _ in range(rounds):
        flush.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    torch.cuda.synchronize()
    return [start.elapsed_time(end) * 1e-3 for start, end in pairs]


def in_a_graph(run: Run) -> Run:
    """The same work as one CUDA graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def quantile(values: Sequence[float], fraction: float) -> float:
    """The smallest value that at least this fraction of all is at or below; the largest for 1."""
    ordered = sorted(values)
    return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)]
