# SPDX-License-Identifier: MIT
"""A command's measurement by one process, where several were started."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .speaker import say


def by_the_first(device: str, measure: Callable[[str], None]) -> int:
    """Calls ``measure`` with the device in the first process; 0, or 128 + SIGINT where it was interrupted."""
    from ..training import started_processes

    try:
        with started_processes(device) as (processes, chosen), processes.together():
            if processes.is_first:
                measure(chosen)
    except KeyboardInterrupt:
        say("yopo: interrupted")
        return 128 + signal.SIGINT
    return 0
