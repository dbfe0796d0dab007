# SPDX-License-Identifier: MIT
"""Keys of published files that the network has no use for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from .weight_files import AVERAGED, WeightsError

#: Counters that others' tools leave behind: averaged weights, and the profiler thop.
KNOWN = (AVERAGED, "total_ops", "total_params", "*.total_ops", "*.total_params")


def known_surplus(keys: Iterable[str], model: nn.Module) -> list[str]:
    """Those of the keys that are known to play no part in the network: `KNOWN`, and its class's ``surplus_keys``."""
    patterns = (*KNOWN, *getattr(model, "surplus_keys", ()))
    return [key for key in keys if any(fnmatchcase(key, pattern) for pattern in patterns)]


def ignored_keys(path: Path, keys: Collection[str], patterns: Sequence[str]) -> set[str]:
    """Those of the keys that match one of the patterns (``*`` stands for anything).

    Raises `WeightsError` for a pattern that matches none of them, most likely a mistyped one.
    """
    ignored = set()
    for pattern in patterns:
        matching = {key for key in keys if fnmatchcase(key, pattern)}
        if not matching:
            raise WeightsError(
                f"{path}: {pattern!r} (--ignore-keys, ignore=) matches no key that the network lacks"
                + (f"; it lacks {few(keys)}" if keys else "")
            )
        ignored |= matching
    return ignored


def patterns_for(keys: Iterable[str]) -> list[str]:
    """Patterns that match the keys: ``aux.*`` for all that begin with ``aux.``."""
    return list(dict.fromkeys(f"{first}.*" if dot else first for first, dot, _ in (key.partition(".") for key in keys)))


def few(items: Collection[str], shown: int = 4) -> str:
    """The first few, and how many more there are."""
    rest = len(items) - shown
    return ", ".join(list(items)[:shown]) + (f" and {rest} more" if rest > 0 else "")
