# SPDX-License-Identifier: MIT
"""A perturbation that is kept from one mini-batch to the next, row by row, as Free keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KeptPerturbation:
    """η of the largest mini-batch so far; a smaller one uses its first rows.

    Attributes:
        eta: (B, C, H, W), written in place, so that a recorded pass finds what the one before it left; None before the
            first mini-batch, which starts at 0.
    """

    def __init__(self) -> None:
        self.eta: Tensor | None = None

    def rows(self, x: Tensor) -> Tensor:
        """Those of images x, a view to read and to write; new rows, and those of another size of image, are 0."""
        known = x[:0] if self.eta is None or self.eta.shape[1:] != x.shape[1:] else self.eta.to(x)
        if len(known) < len(x) or self.eta is None:
            known = torch.cat([known, torch.zeros_like(x[len(known) :])])
        self.eta = known
        return known[: len(x)]

    def state_dict(self) -> dict[str, Tensor | None]:
        """For a checkpoint."""
        return {"eta": self.eta}

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """What `state_dict` gave, copied: it is written in place from here on."""
        self.eta = None if state["eta"] is None else state["eta"].clone()

    @staticmethod
    def reshare(
        states: Sequence[dict[str, Tensor | None]], rows: Callable[[int], tuple[int, int]]
    ) -> dict[str, Tensor | None]:
        """This process's state, of those of a run on another number of processes.

        Args:
            states: of all of them, by rank: each remembers its rows of the joint mini-batch.
            rows: of a joint mini-batch's size, this process's (start, stop).
        """
        known = [eta for state in states if (eta := state["eta"]) is not None]
        if not known:
            return {"eta": None}
        start, stop = rows(sum(map(len, known)))
        return {"eta": torch.cat(known)[start:stop].clone()}
