# SPDX-License-Identifier: MIT
"""What an epoch's mini-batches cost, in forward passes of the network, counted on a few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...adversaries import Adversary
from ...compiled_regions import has_compiled_parts
from ...units import UnitCounter
from .share_of_pass import share_of_pass

#: Mini-batches of each kind that are counted in an epoch; the last of them says what all cost. A run's first may check
#: the kernel that its attack ends in.
COUNTED = 2
#: In the name of mini-batches that are watched for their cosine.
_WATCHED = ", watched"
#: What may change inside of an epoch and changes the cost.
_NUMBERS = ("replays", "steps", "m", "n")


@dataclass
class _Kind:
    """Mini-batches that cost the same an image.

    Attributes:
        units: an image; None before one was counted.
        images: of this epoch, on all processes that share mini-batches, else on this one.
        counted: mini-batches of this epoch.
    """

    units: float | None = None
    images: int = 0
    counted: int = 0


class UnitCounts:
    """Counts a mini-batch now and then (`UnitCounter`), and multiplies.

    The first two of each kind in an epoch are counted: what crafts may be switched, or grow. One that is watched for
    its cosine counts as one that is not, where there is such a one: looking costs little and is seldom done.

    Args:
        model: the network in training.

    Attributes:
        on_copies: whether what is counted is a rehearsal on copies instead of the run itself, which nothing may look at
            while it is compiled, or else it runs without compilation.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self.on_copies = model, has_compiled_parts(model)
        self._kinds: dict[str, _Kind] = {}
        self._met: set[str] = set()
        self._size = ""
        self._shares: dict[str, float | None] = {"": 1.0}

    def begin_epoch(self) -> None:
        """Forgets the last epoch's images; what a mini-batch of a kind costs stays known."""
        for kind in self._kinds.values():
            kind.images = kind.counted = 0

    def count_in_passes_of(self, whole: Tensor, *, given: Tensor) -> None:
        """Units are passes on images like `whole` (B, C, H, W), also where those `given` from now on are smaller."""
        self._size = "" if given.shape[1:] == whole.shape[1:] else f", {' x '.join(map(str, given.shape[1:]))}"
        if self._size not in self._shares:
            self._shares[self._size] = share_of_pass(self._model, given, whole, on_copy=self.on_copies)

    def counter(
        self, adversary: Adversary, rehearse: Callable[[], float | None]
    ) -> AbstractContextManager[UnitCounter | None]:
        """The block that a mini-batch's passes run in; `rehearse` finds its units an image on copies, or None."""
        name = self._kind_of(adversary)
        kind = self._kinds.setdefault(name, _Kind())
        # What is met first after a run was resumed may be checked again: what is known of it is better.
        priced = self._priced_as(name)
        wanted = kind.counted < COUNTED and (priced.units is None or (priced is kind and name in self._met))
        self._met.add(name)
        if not wanted:
            return nullcontext()
        if not self.on_copies:
            return UnitCounter(self._model)
        kind.counted += 1
        self._price(kind, rehearse())
        return nullcontext()

    def add(self, adversary: Adversary, counter: object, images: int, joint: int) -> None:
        """Takes a mini-batch of so many images on this process and on all of them, after its last pass."""
        kind = self._kinds[self._kind_of(adversary)]
        kind.images += joint
        if isinstance(counter, UnitCounter):
            kind.counted += 1
            if counter.has_seen_each_pass and images:  # not in a CUDA graph's replay
                self._price(kind, counter.per_image(images))

    def _price(self, kind: _Kind, passes: float | None) -> None:
        """Takes what was counted in passes on the images given; None: nothing was."""
        share = self._shares[self._size]
        if passes is not None and share is not None:
            kind.units = passes * share

    def _kind_of(self, adversary: Any) -> str:
        return kind_of(adversary, self._size)

    def record(self, log: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """What the epoch's record says: "units" an image, "units_total" with those of the epochs in the log.

        Where something was not counted, as where the network is never called as a module, they are left out.
        """
        met = [(kind.images, self._priced_as(name).units) for name, kind in self._kinds.items() if kind.images]
        if not met or any(price is None for _, price in met):
            return {}
        units = sum(images * (price or 0.0) for images, price in met) / sum(images for images, _ in met)
        found = {"units": round(units, 4)}
        before = log[-1].get("units_total") if log else 0.0
        return found if before is None else found | {"units_total": round(before + found["units"], 4)}

    def _priced_as(self, name: str) -> _Kind:
        """Whose units stand for a kind's: its own, but of watched mini-batches those of the others, once counted."""
        plain = self._kinds.get(name.removesuffix(_WATCHED))
        return self._kinds[name] if plain is None or plain.units is None else plain

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: [kind.units, kind.images, kind.counted] for name, kind in self._kinds.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave."""
        self._kinds = {name: _Kind(*values) for name, values in state.items()}


def kind_of(adversary: Any, size: str = "") -> str:
    """Mini-batches of one name cost the same: the class of what crafts, also inside a CUDA graph, its numbers, the
    images' size where it is not their own, and whether it is watched."""
    inner = getattr(adversary, "adversary", adversary)
    numbers = [f"{name} {getattr(inner, name)}" for name in _NUMBERS if hasattr(inner, name)]
    watched = getattr(getattr(inner, "watch", None), "active", False)
    return ", ".join([type(inner).__name__, *numbers]) + size + (_WATCHED if watched else "")
