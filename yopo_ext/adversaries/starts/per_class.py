# SPDX-License-Identifier: MIT
"""One perturbation for the images of each class (FGSM-CUAP: Pan, Li, Yao, AAAI 2024)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ... import arguments
from .averaged_gradients import AveragedGradients, bytes_for
from .shared import DecayOptions
from .start import NamedStart, Surroundings


class PerClass(AveragedGradients):
    """η⁰ = u_y for an image of class y; see `AveragedGradients`, of which it has a group a class.

    Args:
        classes: K.
        shape: (C, H, W) of an image.
        decay, norm, generator, device, processes: as there.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int], **options: Any) -> None:
        super().__init__(arguments.count("classes", classes, least=1), shape, **options)

    def group_of(self, y: Any, count: int) -> Tensor:
        """The class.

        Raises:
            TypeError: targets that are no class indices (B,).
            ValueError: a class that there is not; on a device that would have to be waited for, torch says so.
        """
        if not isinstance(y, Tensor) or y.shape != (count,) or y.is_floating_point() or y.is_complex():
            given = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise TypeError(f"start class: got targets {given}, expected class indices ({count},)")
        if y.device.type == "cpu" and count and not 0 <= int(y.min()) <= int(y.max()) < len(self.eta):
            raise ValueError(
                f"start class: got targets from {int(y.min())} to {int(y.max())}, expected 0 to {len(self.eta) - 1}"
            )
        return y.long()


def _build(given: Surroundings) -> PerClass:
    return PerClass(
        given.classes, given.shape, decay=given.options.start_decay, norm=given.norm, generator=given.generator,
        device=given.device, processes=given.processes,
    )  # fmt: skip


START = NamedStart(
    "class", "one perturbation for each class, along its mean gradient (FGSM-CUAP, Pan et al., AAAI 2024)", _build,
    DecayOptions, memory=lambda given: bytes_for(given.classes, given.shape), of_classes=True,
)  # fmt: skip
