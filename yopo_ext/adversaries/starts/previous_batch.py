# SPDX-License-Identifier: MIT
"""The perturbations of the mini-batch before (FGSM-BP: Jia et al., "Prior-guided ...", ECCV 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...projection import FeasibleSet
from ..kept_perturbation import KeptPerturbation
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
        self._kept = KeptPerturbation()

    @property
    def eta(self) -> Tensor | None:
        return self._kept.eta

    @property
    def remembered(self) -> Tensor | None:
        """``eta``."""
        return self._kept.eta

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
            known, fresh = 0 if self.eta is None else len(self.eta), draw(feasible, self.generator)
            self._kept.rows(x)[known:] = fresh[known:]
        return feasible.project(self._kept.rows(x))

    @torch.no_grad()
    def keep(self, feasible: FeasibleSet, y: Any, found: Found) -> None:
        """Its η, in the first rows."""
        if self.eta is not None:  # which `draw` has made
            self.eta[: len(found.eta)] = found.eta

    def state_dict(self) -> State:
        """The rows."""
        return self._kept.state_dict()

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave."""
        self._kept.load_state_dict(state)

    reshare = staticmethod(KeptPerturbation.reshare)


def _build(given: Surroundings) -> PreviousBatch:
    return PreviousBatch(given.generator)


START = NamedStart(
    "previous-batch", "what was found for the mini-batch before, row by row (FGSM-BP, Jia et al., ECCV 2022)", _build
)
