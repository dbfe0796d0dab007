# SPDX-License-Identifier: MIT
"""The error of every reader."""

from __future__ import annotations

from pathlib import Path


class DataFileError(ValueError):
    """A data file is missing or is not what its name says: ``path``, what was ``found``, what was ``expected``."""

    def __init__(self, path: Path | str, found: str, expected: str) -> None:
        super().__init__(f"{path}: found {found}, expected {expected}")
        self.path = Path(path)
        self.found = found
        self.expected = expected
