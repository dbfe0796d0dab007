# SPDX-License-Identifier: MIT
"""Output that nobody reads any more, as in `yopo evaluate ... | head -1`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

#: As shells report a program that SIGPIPE ended: 128 + 13.
STATUS = 141


def quiet_when_cut_off(run: Callable[[], int]) -> int:
    """The status of ``run``; where its output was cut off, `STATUS`, without a word."""
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STATUS
