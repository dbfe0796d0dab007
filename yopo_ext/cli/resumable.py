# SPDX-License-Identifier: MIT
"""How a command ends that trains."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .speaker import complain, process_count, say


def finish(job: Callable[[], None], go_on: str) -> int:
    """Carries out ``job``; the exit status. An interrupted one says that ``go_on`` is the command to go on with.

    Several processes end alike, and the first one speaks, with its own ``go_on``.
    """
    from ..training import Interrupted, TrainingError

    try:
        job()
    except Interrupted as interrupted:
        again = f", on {process_count()} processes as before" if process_count() > 1 else ""
        say(f"\n{interrupted}; go on with: {go_on}{again}")
        return 128 + interrupted.signal_number
    except KeyboardInterrupt:  # while images are read, or a second time while it trains
        say("\nyopo: interrupted")
        return 128 + signal.SIGINT
    except TrainingError as error:
        complain(f"yopo: {error}")
        return 1
    return 0
