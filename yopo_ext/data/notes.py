# SPDX-License-Identifier: MIT
"""What reading a data set has to say while it goes on."""

from __future__ import annotations

import os
import sys


def note(text: str) -> None:
    """A line on stderr; of several processes of a run the first one speaks. Names that are no Unicode are escaped."""
    if os.environ.get("RANK", "0") == "0":
        print(f"yopo: {printable(text)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text without what no terminal takes: bytes of file names that are no Unicode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
