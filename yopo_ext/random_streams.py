# SPDX-License-Identifier: MIT
"""One seed, many independent streams of random numbers: each is seeded with the seed and its own name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_BITS = 63  # what torch takes as a seed without a sign


def derive_seed(seed: int, name: str) -> int:
    """The seed of the stream ``name`` (weights, order, augmentation, starts, ...) of a run with ``seed``.

    SHA-256 of both: generators that are seeded alike draw alike, so no two purposes may share a seed. The same on every
    machine.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)


def set_stream(generator: torch.Generator, state: Tensor) -> None:
    """Puts a generator where the one stood that ``state`` was taken from.

    Another kind of device draws otherwise and cannot go on from there: its stream is then a new one, seeded by the
    state.
    """
    if state.shape == generator.get_state().shape:
        generator.set_state(state)
    else:
        digest = hashlib.sha256(bytes(state.tolist())).digest()
        generator.manual_seed(int.from_bytes(digest[:8], "big") >> (64 - _BITS))


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """What torch draws on the CPU in this block follows ``seed``; then its global generator is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
