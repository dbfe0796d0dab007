# SPDX-License-Identifier: MIT
"""A random start, uniform in the ball (Madry et al., ICLR 2018; FastAT: Wong, Rice, Kolter, ICLR 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...projection import FeasibleSet
from ..random_start import draw
from .start import NamedStart, Start


class Uniform(Start):
    """η⁰ as `yopo_ext.adversaries.random_start` draws it: anew for every mini-batch.

    Args:
        generator: on the images' device; None for torch's own.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """A random member of the set."""
        return draw(feasible, self.generator)


START = NamedStart(
    "uniform", "uniform in the ball, anew each time", lambda given: Uniform(given.generator), of_any_size=True
)
