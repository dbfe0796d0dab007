# SPDX-License-Identifier: MIT
"""What a detector is, how one declares itself, and detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ..objectives.objective import Objective
from ..options import NoOptions
from ..registry import Registry


@runtime_checkable
class Detector(Protocol):
    """Says how suspicious an input is.

    The network is in evaluation mode; that is the caller's business, as its device is.
    """

    @property
    def label(self) -> str:
        """Its name in tables."""
        ...

    def fit(self, model: nn.Module, images: Tensor) -> None:
        """Learns what training images (N, C, H, W), floats in [0, 1], look like to the network.

        Raises:
            ValueError: too few of them, or a network that it cannot look into.
        """
        ...

    def score(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B,) float, larger: more suspicious; of each image alone, and differentiable in x (B, C, H, W).

        Raises:
            RuntimeError: before `fit`, where it learns anything.
        """
        ...


@dataclass(frozen=True)
class Fitting:
    """What detectors of the command line are made for.

    Attributes:
        objective: that reads the network's outputs.
        eps: radius of the attacks to be found, for detectors that are shown some; None where it is not known.
        norm: of these attacks.
        seed: of all that is drawn.
    """

    objective: Objective
    eps: float | None = None
    norm: str = "linf"
    seed: int = 0


@dataclass(frozen=True)
class NamedDetector:
    """A detector that `yopo evaluate --detectors NAME` measures.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        build: called as build(fitting, options), makes the detector, not fitted yet.
        options: a frozen dataclass of options, which become options of the command.
    """

    name: str
    help: str
    build: Callable[[Fitting, Any], Detector]
    options: type[Any] = NoOptions


DETECTORS: Registry[NamedDetector] = Registry("detector", "yopo_ext.detectors", NamedDetector, "yopo_ext.detectors")
