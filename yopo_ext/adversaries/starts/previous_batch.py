# SPDX-License-Identifier: MIT
"""The perturbations of the mini-batch before (FGSM-BP: Jia et al., "Prior-guided ...", ECCV 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...projection import FeasibleSet
from ..random_start import draw
from .start import Found, NamedStart, Start, State, Surroundings


class PreviousBatch(Start):
    """η⁰ of the image in row i is what was found for row i of the mini-batch before, another image; cut to the set.

    The first mini-batch starts uniformly. A smaller mini-batch uses and replaces the first rows; one that is larger
    than any before starts its further rows uniformly. With several processes each remembers its own rows.

    Args:
        generator: for the uniform starts, on the images' device; None for torch's own.

    Attributes:
        eta: (B, C, H, W) of the largest mini-batch so far, None before the first.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator
        self.eta: Tensor | None = None

    @torch.no_grad()
    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """The rows before, in the set. Raises ``ValueError`` for images of another shape than before."""
        x = feasible.x
        if self.eta is not None and self.eta.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"start previous-batch: got images {tuple(x.shape[1:])} after {tuple(self.eta.shape[1:])}, expected "
                "one shape"
            )
        if self.eta is None or len(self.eta) < len(x):
            fresh = draw(feasible, self.generator)
            self.eta = fresh if self.eta is None else torch.cat([self.eta.to(x), fresh[len(self.eta) :]])
        return feasible.project(self.eta[: len(x)].to(x))

    @torch.no_grad()
    def keep(self, feasible: FeasibleSet, y: Any, found: Found) -> None:
        """Its η, in the first rows."""
        if self.eta is not None:  # which `draw` has made
            self.eta[: len(found.eta)] = found.eta

    def state_dict(self) -> State:
        """The rows."""
        return {"eta": self.eta}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave."""
        self.eta = None if state["eta"] is None else state["eta"].clone()

    def reshare(self, states: Sequence[State], rows: Callable[[int], tuple[int, int]]) -> State:
        """The rows of the joint mini-batch that are this process's now."""
        known = [eta for state in states if (eta := state["eta"]) is not None]
        if not known:
            return {"eta": None}
        start, stop = rows(sum(map(len, known)))
        return {"eta": torch.cat(known)[start:stop].clone()}


def _build(given: Surroundings) -> PreviousBatch:
    return PreviousBatch(given.generator)


START = NamedStart(
    "previous-batch", "what was found for the mini-batch before, row by row (FGSM-BP, Jia et al., ECCV 2022)", _build
)
