# SPDX-License-Identifier: MIT
"""How a command ends that trains."""

from __future__ import annotations

import sys
from collections.abc import Callable


def finish(job: Callable[[], None], go_on: str) -> int:
    """Carries out ``job``; the exit status. An interrupted one says that ``go_on`` is the command to go on with."""
    from yopo_ext.training import Interrupted, TrainingError

    try:
        job()
    except Interrupted as interrupted:
        print(f"\n{interrupted}; go on with: {go_on}", file=sys.stderr)
        return 128 + interrupted.signal_number
    except TrainingError as error:
        print(f"yopo: {error}", file=sys.stderr)
        return 1
    return 0
