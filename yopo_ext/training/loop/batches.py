# SPDX-License-Identifier: MIT
"""What a trainer iterates every epoch: anybody's mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...data import Batch, as_batch
from ...stopwatch import Stopwatch


def require_batches(batches: Any) -> Any:
    """What can be iterated every epoch.

    Raises:
        TypeError: it has no length, as a DataLoader of an IterableDataset without one, or can be iterated once only.
        ValueError: it is empty.
    """
    again = hasattr(batches, "__len__") and hasattr(batches, "__iter__")
    if not again:
        raise TypeError(
            f"batches: got a {type(batches).__name__}, expected what has a length and can be iterated every epoch, "
            "as a DataLoader or a list"
        )
    try:
        length = len(batches)
    except TypeError as error:
        raise TypeError(
            f"batches: got a {type(batches).__name__} without a length ({error}), expected one: an IterableDataset "
            "needs __len__, the images that this process gets of it in an epoch"
        ) from error
    if length == 0:
        raise ValueError(f"batches: got an empty {type(batches).__name__}, expected at least one mini-batch")
    return batches


def know_where_they_stand(batches: Any) -> bool:
    """Whether an epoch can be taken up in its middle."""
    return hasattr(batches, "state_dict") and hasattr(batches, "load_state_dict")


def timed(batches: Any, stopwatch: Stopwatch) -> Iterator[Batch]:
    """The rest of the epoch, fetched under the span "data"."""
    rest = iter(batches)
    while True:
        with stopwatch.span("data"):
            item = next(rest, None)
        if item is None:
            return
        yield as_batch(item)
