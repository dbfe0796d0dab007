# SPDX-License-Identifier: MIT
"""Batches dealt out to processes: each works on some of them, and all learn what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from torch import Tensor

from ..data.stored_images import StoredPixels
from ..processes import ProcessError, Processes, checksum

#: images of a batch where they lie, maybe in a file, and their labels
Pixels = Tensor | StoredPixels
Pair = tuple[Pixels, Tensor]
Found = TypeVar("Found")


@dataclass
class _Word(Generic[Found]):
    """What a process tells the others after a round.

    batches: that it was dealt from; pack: a checksum of all so far; found: of its own batch, None without one.
    """

    batches: int = 0
    pack: int = 0
    found: Found | None = None
    failure: str | None = None


def deal(processes: Processes, batches: Iterator[Pair], work: Callable[[Pair], Found]) -> list[Found]:
    """``work`` of every batch (images, labels), in order, on all processes; what it returns must be picklable.

    A batch a round for each process, in the order of their numbers. The batches are those of one process alone, so that
    what is found is too. At a round's end all wait for the slowest, and so hear of a failure.

    Raises:
        ProcessError: another process failed.
        ValueError: the processes were given different batches.
    """
    if processes.count == 1:
        return [work(batch) for batch in batches]
    found: list[Found] = []
    pack = 0
    while True:
        word, failure = _Word[Found](), None
        try:
            word = _round(processes, batches, work, pack)
        except Exception as error:
            failure, word.failure = error, str(error) or type(error).__name__
        words = processes.gather(word)
        if failure is not None:
            raise failure
        _require_agreement(words)
        found += [one.found for one in words[: word.batches]]
        if word.batches < processes.count:
            return found
        pack = word.pack


def _round(processes: Processes, batches: Iterator[Pair], work: Callable[[Pair], Found], pack: int) -> _Word[Found]:
    dealt = list(islice(batches, processes.count))
    for images, labels in dealt:
        pack = _checksum(images, labels, pack)
    mine = processes.rank < len(dealt)
    return _Word(len(dealt), pack, work(dealt[processes.rank]) if mine else None)


def _require_agreement(words: list[_Word[Any]]) -> None:
    for rank, word in enumerate(words):
        if word.failure is not None:
            raise ProcessError(f"process {rank} of {len(words)}: {word.failure}")
    for rank, word in enumerate(words):
        if (word.batches, word.pack) != (words[0].batches, words[0].pack):
            raise ValueError(
                f"images: process {rank} of {len(words)} was given others than process 0, or in another order; "
                "expected the same on all: they are dealt out here, so neither shuffled nor by a DistributedSampler"
            )


def _checksum(images: Pixels, labels: Tensor, before: int) -> int:
    """Of the labels and of one image: orders differ in the labels, sets in either."""
    return checksum(images[:1], checksum(labels, before))
