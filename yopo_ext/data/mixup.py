# SPDX-License-Identifier: MIT
"""Mixup (Zhang et al., ICLR 2018): pairs of images and of their labels, mixed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..random_streams import derive_seed
from .batch import Batch, as_batch
from .image_set import to_float


class MixedBatches:
    """Mini-batches whose images are λ of one and 1 − λ of another of the same mini-batch, and so their targets.

    λ ~ Beta(alpha, alpha), one a mini-batch. λ and the partners of the mini-batch number n follow from the seed and n
    alone, so that a run goes on with them wherever it stopped. Processes that share a mini-batch mix by one λ; each
    image's partner is among its process's rows. A mixed image is no image of the set: `index` and `placement` are None.

    Args:
        batches: yields images, uint8 or float, and labels (B,) int64; with `state_dict` and `load_state_dict`.
        alpha: of the distribution, above 0; small ones leave most images almost as they are.
        num_classes: K; targets are rows of probabilities (B, K), float32.
        seed: of the run.

    Raises:
        TypeError: while iterating, labels that are no class indices.
    """

    def __init__(self, batches: Any, alpha: float, *, num_classes: int, seed: int = 0) -> None:
        if not 0 < alpha < float("inf"):
            raise ValueError(f"mixup: got {alpha}, expected a finite number above 0")
        self.batches, self.alpha, self.num_classes = batches, alpha, num_classes
        self.seed = derive_seed(seed, "mixup")
        self._mixed = 0

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the epoch, mixed."""
        for item in self.batches:
            batch = as_batch(item)
            draws = np.random.default_rng([self.seed, self._mixed])
            self._mixed += 1
            share = float(draws.beta(self.alpha, self.alpha))
            yield self._mix(batch, share, _partners(draws, batch))

    def state_dict(self) -> dict[str, Any]:
        """Where the mini-batches stand, and how many were mixed."""
        return {"batches": self.batches.state_dict(), "mixed": self._mixed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.batches.load_state_dict(state["batches"])
        self._mixed = state["mixed"]

    def _mix(self, batch: Batch, share: float, partners: Tensor) -> Batch:
        x, y = batch
        if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.dim() != 1:
            given = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise TypeError(f"mixup: got targets {given}, expected class indices (B,) int64")
        x = to_float(x) if x.dtype == torch.uint8 else x
        partners = partners.to(x.device)
        targets = F.one_hot(y, self.num_classes).to(torch.float32)
        # lerp of equal values is that value: images stay inside their bounds.
        return Batch(
            torch.lerp(x[partners], x, share), torch.lerp(targets[partners.to(y.device)], targets, share),
            rows=batch.rows,
        )  # fmt: skip


def _partners(draws: np.random.Generator, batch: Batch) -> Tensor:
    """(B,) places of the partners: a permutation of these rows, from one of the joint mini-batch."""
    start, stop, total = (0, len(batch), len(batch)) if batch.rows is None else batch.rows
    return torch.from_numpy(np.argsort(draws.permutation(total)[start:stop]))
