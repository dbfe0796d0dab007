# SPDX-License-Identifier: MIT
"""A method, objective, optimiser, schedule or event by name, with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chosen:
    """name: in its registry; options: an instance of what it declares."""

    name: str
    options: Any
