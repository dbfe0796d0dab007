# SPDX-License-Identifier: MIT
"""Who speaks where `torchrun` started the command several times: the first process, once for all."""

from __future__ import annotations

import os
import sys
import time

#: Seconds that the others wait to be ended by the launcher, which does so when the first has said it and ended.
PATIENCE = 15.0


def say(message: str) -> None:
    """Prints a line that all processes have to say on stderr, the first process alone."""
    if _rank() == 0:
        print(message, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Prints why this process cannot go on.

    What is wrong with the arguments or the run is wrong in all processes: the others wait until the first has said it.
    Where that goes on after `PATIENCE`, the fault is one process's own, and it says so itself.
    """
    if (rank := _rank()) > 0:
        time.sleep(PATIENCE)
        message = f"process {rank}: {message}"
    print(message, file=sys.stderr, flush=True)


def process_count() -> int:
    """How many processes the command was started in."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _rank() -> int:
    """This process's number; 0 alone."""
    return int(os.environ.get("RANK", "0")) if process_count() > 1 else 0
