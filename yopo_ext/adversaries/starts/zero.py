# SPDX-License-Identifier: MIT
"""No start at all: the attack begins at the image (FGSM: Goodfellow, Shlens, Szegedy, ICLR 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...projection import FeasibleSet
from .start import NamedStart, Start


class Zero(Start):
    """η⁰ = 0. Training on single steps from here overfits to them soonest."""

    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """Zeros like the images."""
        return torch.zeros_like(feasible.x)


START = NamedStart("zero", "the image itself, η⁰ = 0", lambda given: Zero(), of_any_size=True)
