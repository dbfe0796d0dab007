# SPDX-License-Identifier: MIT
"""Stopping a run between two steps on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

# A launcher hands on the signal that the whole group of processes has got already: within so many seconds it is one.
SAME_SIGNAL = 1.0


class Interrupted(Exception):
    """A run was asked to stop and did, in a state that can be resumed. ``signal_number`` is what asked."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class StopRequest:
    """A flag that signals raise and the training loop looks at where it can stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self.signal_number is not None

    def check(self) -> None:
        """Raises `Interrupted` if a stop was requested."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)

    def obey_another(self) -> None:
        """Raises `Interrupted`: this or another process was asked to stop."""
        if self.signal_number is None:
            self.signal_number = int(signal.SIGTERM)
        self.check()


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a `StopRequest`; another one a second later acts as it did before.

    Only the main thread may use it (Python's rule for signal handlers).
    """
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first: float | None = None

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first, request.signal_number = monotonic(), number
        elif monotonic() - first >= SAME_SIGNAL:
            restore()
            signal.raise_signal(number)

    try:
        for number in previous:
            signal.signal(number, on_signal)
        yield request
    finally:
        restore()
