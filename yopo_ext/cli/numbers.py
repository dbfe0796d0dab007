# SPDX-License-Identifier: MIT
"""Numbers as people write them."""

from __future__ import annotations

import argparse
from fractions import Fraction


def number(text: str) -> float:
    """A float, or a fraction like 8/255 or 0.5/255."""
    try:
        if "/" not in text:
            return float(text)
        above, below = map(Fraction, text.split("/"))
        return float(above / below)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number or a fraction like 8/255") from None


def is_number(text: str) -> bool:
    """Whether `number` reads it."""
    try:
        number(text)
    except argparse.ArgumentTypeError:
        return False
    return True
