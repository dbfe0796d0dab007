# SPDX-License-Identifier: MIT
"""Pixel files of images as they were before they changed: no run finds them any more, so they can go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .folder_listing import Listing
from .notes import note

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is removed
    fcntl = None  # type: ignore[assignment]

_GB = 1e9


def what_it_is_of(listing: Listing) -> dict[str, Any]:
    """What two pixel files have in common of which the later one is in the place of the other."""
    return {"folder": os.path.realpath(listing.folder), "classes": list(listing.classes)}


def mapped(path: Path, shape: tuple[int, ...], mode: Literal["r", "r+"]) -> np.memmap:
    """The file's pixels, mapped into memory; as long as they are, `deal_with_older` lets the file be."""
    with path.open(f"{mode}b") as file:
        if fcntl is not None:
            # The lock is the mapping's too, which has a duplicate of this descriptor. On a file system without locks
            # nothing can be removed either.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return np.memmap(file, np.uint8, mode, shape=shape)


def deal_with_older(path: Path, *, remove: bool) -> None:
    """Of the pixel files beside ``path``: those of the same folder, classes and size, made earlier.

    Args:
        path: a complete one.
        remove: whether they are removed, unless a run still reads or makes them; else they are named.
    """
    older = [*_older(path)]
    gone = [(one, size) for one, size in older if remove and _is_removed(one)]
    # Processes of one run may all be here.
    left = [pair for pair in older if pair not in gone and pair[0].exists()]
    if gone:
        note(f"removed {_named(gone)}, decoded before the images changed")
    if left:
        why = "a run still reads it" if remove else "no run needs it any more: it can be removed"
        note(f"{path.parent} also holds {_named(left)}, decoded before the images changed; {why}")


def _older(path: Path) -> Iterator[tuple[Path, int]]:
    """In the order of their names, with their sizes."""
    own = _about(path)
    start = path.stem.rpartition("-")[0]
    for other in sorted(path.parent.glob("*.u8")):
        if other == path or other.stem.rpartition("-")[0] != start:
            continue
        about = _about(other)
        if None not in (own, about) and about[0] == own[0] and about[1] < own[1]:  # type: ignore[index]
            with suppress(FileNotFoundError):
                yield other, other.stat().st_size


def _about(path: Path) -> tuple[dict[str, Any], int] | None:
    """What the file is of, and when it was made; None where nobody has written it down."""
    known = path.with_suffix(".json")
    try:
        return json.loads(known.read_text(encoding="utf-8"))["of"], known.stat().st_mtime_ns
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _is_removed(path: Path) -> bool:
    """Removes the file, unless it is read, or may be."""
    if fcntl is None:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_suffix(".json").unlink(missing_ok=True)  # first the word that the rows are there
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _named(files: list[tuple[Path, int]]) -> str:
    total = sum(size for _, size in files)
    return f"{', '.join(one.name for one, _ in files)} ({total / _GB:.3g} GB)"
