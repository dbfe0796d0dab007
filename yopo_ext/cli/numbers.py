# SPDX-License-Identifier: MIT
"""Numbers as people write them."""

from __future__ import annotations

import argparse
from fractions import Fraction


def number(text: str) -> float:
    """A float, or a fraction like 8/255."""
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number or a fraction like 8/255") from None


def is_number(text: str) -> bool:
    """Whether `number` reads it."""
    try:
        number(text)
    except argparse.ArgumentTypeError:
        return False
    return True
