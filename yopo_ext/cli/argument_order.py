# SPDX-License-Identifier: MIT
"""What argparse would read otherwise than it was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# argparse itself takes -2 and -0.5 for values, but -2/255 and -1e-3 for options.
_NEGATIVE = re.compile(r"-\d*\.?\d+(/\d+|e[-+]?\d+)", re.IGNORECASE)


def join_negative_numbers(arguments: Sequence[str]) -> list[str]:
    """``--alpha -2/255`` to ``--alpha=-2/255``."""
    joined: list[str] = []
    for argument in arguments:
        if _NEGATIVE.fullmatch(argument) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def free_the_paths(arguments: Sequence[str], lists: Mapping[str, Callable[[str], bool]]) -> list[str]:
    """``--attacks fgsm runs/X runs/Y`` to ``runs/X runs/Y --attacks fgsm``.

    Args:
        lists: options that take several values, and what says of a word whether it can be one.
    """
    rest = list(arguments)
    for index, argument in enumerate(rest):
        if argument not in lists:
            continue
        end = index + 1
        while end < len(rest) and not rest[end].startswith("-"):
            end += 1
        first = end
        while first - index > 2 and _is_path(rest[first - 1]) and not lists[argument](rest[first - 1]):
            first -= 1
        if first < end:
            return [*rest[first:end], *rest[:first], *rest[end:]]
    return rest


def _is_path(word: str) -> bool:
    return "/" in word or Path(word).exists()
