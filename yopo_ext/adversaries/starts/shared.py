# SPDX-License-Identifier: MIT
"""One perturbation for all images, a universal one (FGSM-UAP: Pan, Li, Yao, AAAI 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...options import Options, option
from .averaged_gradients import DECAY, AveragedGradients, bytes_for
from .start import NamedStart, Surroundings


@dataclass(frozen=True)
class DecayOptions(Options):
    """Of starts that follow a momentum."""

    start_decay: float = option(DECAY, "share of a start's momentum that stays", least=0, below=1)


class Shared(AveragedGradients):
    """η⁰ = u for every image; see `AveragedGradients`, of which it has one group.

    Args:
        shape: (C, H, W) of an image.
        decay, norm, generator, device, processes: as there.
    """

    def __init__(self, shape: tuple[int, int, int], **options: Any) -> None:
        super().__init__(1, shape, **options)

    def group_of(self, y: Any, count: int) -> Tensor:
        """The one."""
        return torch.zeros(count, dtype=torch.int64, device=self.eta.device)


def _build(given: Surroundings) -> Shared:
    return Shared(
        given.shape, decay=given.options.start_decay, norm=given.norm, generator=given.generator, device=given.device,
        processes=given.processes,
    )  # fmt: skip


START = NamedStart(
    "shared", "one perturbation for all images, along its mean gradient (FGSM-UAP, Pan et al., AAAI 2024)", _build,
    DecayOptions, memory=lambda given: bytes_for(1, given.shape),
)  # fmt: skip
