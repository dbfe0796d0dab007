# SPDX-License-Identifier: MIT
"""The image's own perturbation of the epoch before (ATTA: Zheng et al., CVPR 2020; FGSM-EP: Jia et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...processes import Processes
from ...projection import FeasibleSet
from .canvas_memory import CanvasMemory, bytes_for, reshared
from .image_places import ImagePlaces
from .start import Found, NamedStart, Start, State, Surroundings, require_ball_of, require_norm

#: Of an int8.
STEPS = 127


class PreviousEpoch(Start):
    """η⁰ is what was found for the image when it was seen last ("Efficient adversarial training with transferable
    adversarial examples", ATTA, Zheng et al., CVPR 2020; FGSM-EP of "Prior-guided adversarial initialization for fast
    adversarial training", Jia et al., ECCV 2022).

    It follows the image through crop and flip: it lies on the padded canvas, is cut as the image is, and what the
    attack found is written back where it came from. At first every canvas is drawn uniformly from the ball.

    Kept in units of eps, so that it grows with a ball that does: with norm "linf" in int8, steps of eps / 127, with
    "l2" in float16. With several processes each remembers a part of the images, and they exchange a mini-batch's.

    Args:
        images: N, of the training set: `Batch.index` is from 0 to N − 1.
        shape: (C, H, W), as the network sees an image.
        padding: the most that augmentation shifts an image by, in pixels; 0 without.
        norm: of the ball, "linf" or "l2".
        generator: for the first perturbations, on ``device``, alike on all processes; None for torch's own.
        device: of the images.
        processes: those that share the mini-batches.

    Attributes:
        memory: of the perturbations.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also where there is no room for so much.
    """

    def __init__(
        self,
        images: int,
        shape: tuple[int, int, int],
        *,
        padding: int = 0,
        norm: str = "linf",
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        self.norm = require_norm(norm)
        self.places = ImagePlaces(images, shape, padding=padding, device=device, processes=processes)
        self.memory = CanvasMemory(self.places, eta_dtype(norm))
        self.memory.fill(lambda empty: self._first(empty, generator))
        self._cut: Tensor | None = None
        self._found: Tensor | None = None

    def see(self, batch: Any) -> None:
        """Notes which images come next. Raises as `ImagePlaces.see`."""
        self.places.see(batch)
        self._cut = self.memory.cut() if self.places.several else None

    @torch.no_grad()
    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """The images' perturbations, in the set. Raises as `ImagePlaces.take`, and for a ball of another norm."""
        require_ball_of(self.norm, feasible)
        self.places.take(feasible.x)
        cut = self.memory.cut() if self._cut is None else self._cut
        return feasible.project(self._in_full(cut, feasible))

    @torch.no_grad()
    def keep(self, feasible: FeasibleSet, y: Any, found: Found) -> None:
        """The perturbations to begin at next time."""
        self._found = self._in_units(self.next_start(feasible, found), feasible)
        if not self.places.several:
            self._write()

    def settle(self) -> None:
        """With several processes: writes what all of them found to where it is remembered."""
        if self.places.several:
            self._write()

    def next_start(self, feasible: FeasibleSet, found: Found) -> Tensor:
        """What is remembered of an attack."""
        return found.eta

    def state_dict(self) -> State:
        """This process's part of the memory."""
        return {"eta": self.memory.own}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave. Raises ``ValueError`` for one of other images."""
        restore(self.memory, state["eta"])

    def reshare(self, states: Sequence[State], rows: Callable[[int], tuple[int, int]]) -> State:
        """The part of the images that is this process's now."""
        return {name: reshared([state[name] for state in states], rows) for name in states[0]}

    def _write(self) -> None:
        self.memory.write(self._found)
        self._found = None

    def _first(self, empty: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.norm == "linf":
            return empty.uniform_(-1.0, 1.0, generator=generator).mul_(STEPS).round_()
        drawn = empty.normal_(generator=generator)
        return drawn / drawn.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)

    def _in_units(self, eta: Tensor, feasible: FeasibleSet) -> Tensor:
        share = torch.where(feasible.eps > 0, eta / feasible.eps, 0)
        if self.norm == "linf":
            share = (share * STEPS).round()
        return share.to(self.memory.values.dtype)

    def _in_full(self, units: Tensor, feasible: FeasibleSet) -> Tensor:
        share = units.to(feasible.x)
        return (share / STEPS if self.norm == "linf" else share) * feasible.eps


def eta_dtype(norm: str) -> torch.dtype:
    """Of a perturbation in units of eps: with l2 an element is a small part of it."""
    return torch.int8 if norm == "linf" else torch.float16


def part_of(given: Surroundings) -> int:
    """Images that this process remembers."""
    start, stop = given.processes.rows(given.images)
    return stop - start


def restore(memory: CanvasMemory, values: Tensor) -> None:
    """Puts the values of this process's images into the memory. Raises ``ValueError`` where they are of others."""
    if values.shape != memory.own.shape:
        raise ValueError(f"start: got a memory {tuple(values.shape)}, expected {tuple(memory.own.shape)}")
    memory.own.copy_(values)


def _build(given: Surroundings) -> PreviousEpoch:
    return PreviousEpoch(
        given.images, given.shape, padding=given.padding, norm=given.norm, generator=given.generator,
        device=given.device, processes=given.processes,
    )  # fmt: skip


def memory_of(given: Surroundings) -> int:
    """Bytes of this process's perturbations."""
    return bytes_for(part_of(given), given.shape, given.padding, eta_dtype(given.norm))


START = NamedStart(
    "previous-epoch", "what was found for the image when it was last seen (FGSM-EP, Jia et al., ECCV 2022)", _build,
    memory=memory_of, of_images=True,
)  # fmt: skip
