# SPDX-License-Identifier: MIT
"""Where the time of a training run goes: named spans, measured without waiting for the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch


class Stopwatch:
    """Adds up the seconds spent in named spans.

        with stopwatch.span("inner"):
            ...
        stopwatch.totals()  # {"inner": 0.0123}

    On a CPU it reads the clock. On a CUDA device it records events on the current stream, so that a span is
    the device's time between them; they are read once they have passed, and only `totals` waits for them.
    Spans nest: each name holds its whole time, that of the spans inside it included, and a span inside one of
    its own name adds nothing.

    Args:
        device: where the measured work runs.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._on_cuda = torch.device(device).type == "cuda"
        self._seconds: dict[str, float] = {}
        self._open: set[str] = set()
        self._pending: deque[tuple[str, torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measure the block under `name`, also when it raises."""
        if name in self._open:
            yield
            return
        self._open.add(name)
        self._seconds.setdefault(name, 0.0)
        start = self._now()
        try:
            yield
        finally:
            self._open.discard(name)
            self._record(name, start, self._now())

    def totals(self) -> dict[str, float]:
        """Seconds by name, in the order of first use, of all closed spans. Waits for the device."""
        self._collect(wait=True)
        return dict(self._seconds)

    def reset(self) -> None:
        """Forget what was measured; spans that are open count on."""
        self._pending.clear()
        self._seconds.clear()

    def _now(self) -> float | torch.cuda.Event:
        if not self._on_cuda:
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _record(self, name: str, start: Any, end: Any) -> None:
        if self._on_cuda:
            self._pending.append((name, start, end))
            self._collect(wait=False)
        else:
            self._seconds[name] = self._seconds.get(name, 0.0) + end - start

    def _collect(self, wait: bool) -> None:
        while self._pending:
            name, start, end = self._pending[0]
            if wait:
                end.synchronize()
            elif not end.query():
                return
            self._pending.popleft()
            self._seconds[name] = self._seconds.get(name, 0.0) + start.elapsed_time(end) / 1000.0

    def __getstate__(self) -> dict[str, object]:
        # Events can be neither copied nor pickled, and spans open in the original are not open in the copy.
        self._collect(wait=True)
        return {
            "_on_cuda": self._on_cuda, "_seconds": dict(self._seconds), "_open": set(), "_pending": deque(),
        }  # fmt: skip


class NoStopwatch:
    """Measures nothing; what adversaries hold until they are given a `Stopwatch`."""

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        yield

    def totals(self) -> dict[str, float]:
        return {}

    def reset(self) -> None:
        """Nothing to forget."""
