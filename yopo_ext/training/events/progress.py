# SPDX-License-Identifier: MIT
"""What a run shows while it goes: a bar on a terminal."""

from __future__ import annotations

import sys


class Progress:
    """Counts an epoch's steps. On a terminal a bar; elsewhere nothing, so that log files stay readable."""

    def __init__(self, title: str, steps: int, done: int, *, show: bool) -> None:
        self._bar = None
        if show and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=done, desc=title, unit="step", leave=False, dynamic_ncols=True)

    def step(self) -> None:
        """One step done."""
        if self._bar is not None:
            self._bar.update()

    def values(self, text: str) -> None:
        """Shows running values beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
