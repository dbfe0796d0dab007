# SPDX-License-Identifier: MIT
"""`yopo` in this process, for scripts that read what it prints."""

from __future__ import annotations

import contextlib
import io

from yopo_ext.cli import main


def printed(arguments: list[str]) -> str:
    """What a command prints; ends the script where it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(arguments)
    if status != 0:
        raise SystemExit(f"yopo {' '.join(arguments)}: status {status}")
    return out.getvalue()
