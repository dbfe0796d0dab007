# SPDX-License-Identifier: MIT
"""Along the momentum of the image's gradients in all epochs before (FGSM-MEP: Jia et al., ECCV 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...projection import FeasibleSet
from .averaged_gradients import DECAY
from .canvas_memory import CanvasMemory, bytes_for
from .previous_epoch import PreviousEpoch, memory_of, part_of, restore
from .shared import DecayOptions
from .start import Found, NamedStart, State, Surroundings, require_decay

#: Below the largest float16; the elements of a momentum are 1 / (1 − decay) on average, at most.
_MOST = 6e4


class Momentum(PreviousEpoch):
    """η⁰ is a step along the momentum of the image's gradients, from the η⁰ of its last visit (FGSM-MEP of
    "Prior-guided adversarial initialization for fast adversarial training", Jia et al., ECCV 2022).

    With g the gradient at x + η⁰, scaled to mean |g| = 1 in each image, after each visit

        m ← decay · m + g,    next η⁰ = Π(η⁰ + alpha · sign(m)),

    while the attack itself goes along g from the same η⁰. With norm "l2" sign(m) is m / ‖m‖₂. The authors' code
    divides g by the l1 norm of the whole mini-batch, so that an image's share depends on the others in it; here it does
    not. (With sign(g) for g a decay below ½ would change nothing.)

    Both lie on the padded canvas, as `PreviousEpoch` has it, m in float16.

    Args:
        decay: of the momentum, from 0 to below 1.
        images, shape, options: as for `PreviousEpoch`.

    Attributes:
        memory, momentum: of η⁰ and of m.

    Raises:
        TypeError, ValueError: as `PreviousEpoch`, and for the decay.
    """

    needs_gradient = True

    def __init__(self, images: int, shape: tuple[int, int, int], *, decay: float = DECAY, **options: Any) -> None:
        self.decay = require_decay(decay)
        super().__init__(images, shape, **options)
        self.momentum = CanvasMemory(self.places, torch.float16)
        self._momentum_cut: Tensor | None = None
        self._moved: Tensor | None = None

    def see(self, batch: Any) -> None:
        """Notes which images come next. Raises as `ImagePlaces.see`."""
        super().see(batch)
        self._momentum_cut = self.momentum.cut() if self.places.several else None

    def next_start(self, feasible: FeasibleSet, found: Found) -> Tensor:
        """A step along the momentum, which it moves."""
        known = self.momentum.cut() if self._momentum_cut is None else self._momentum_cut
        m = self.decay * known.to(found.gradient) + _of_mean_one(found.gradient)
        self._moved = m.clamp(-_MOST, _MOST).to(self.momentum.values.dtype)
        return feasible.step(found.start, self._moved.to(m), found.step_size)

    def state_dict(self) -> State:
        """This process's part of both memories."""
        return {**super().state_dict(), "momentum": self.momentum.own}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave. Raises as `PreviousEpoch.load_state_dict`."""
        super().load_state_dict(state)
        restore(self.momentum, state["momentum"])

    def _write(self) -> None:
        super()._write()
        self.momentum.write(self._moved)
        self._moved = None


def _of_mean_one(g: Tensor) -> Tensor:
    """Each image's gradient with mean |g| = 1; 0 where it is 0 or, with a scaled loss, has overflowed."""
    scaled = g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(scaled.isfinite(), scaled, 0)


def _build(given: Surroundings) -> Momentum:
    return Momentum(
        given.images, given.shape, decay=given.options.start_decay, padding=given.padding, norm=given.norm,
        generator=given.generator, device=given.device, processes=given.processes,
    )  # fmt: skip


def _memory(given: Surroundings) -> int:
    return memory_of(given) + bytes_for(part_of(given), given.shape, given.padding, torch.float16)


START = NamedStart(
    "momentum", "along the momentum of the image's gradients so far (FGSM-MEP, Jia et al., ECCV 2022)", _build,
    DecayOptions, memory=_memory, of_images=True,
)  # fmt: skip
