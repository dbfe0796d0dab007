# SPDX-License-Identifier: MIT
"""The cheapest m, n and cut that find most of the loss that many full steps find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..adversaries import Loss, random_start
from ..adversaries.frozen_crafting import FrozenCrafting
from ..adversaries.pgd import climb
from ..ball import Ball, default_alpha
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..projection import FeasibleSet, feasible_set, per_channel
from ..stopwatch import NoStopwatch
from .cut_report import Cut, measured_cuts
from .mode import frozen_eval
from .tables import format_table

#: Full passes and inner steps that are tried.
PASSES, STEPS = (1, 2, 3), (1, 2, 3, 5)
#: Fresh steps that a setting is compared with.
REFERENCE_STEPS = 10


@dataclass(frozen=True)
class Setting:
    """m passes of n steps each inside a cut.

    Attributes:
        m, n, cut, alpha: what was tried; alpha is `step_for(eps, m * n)` where none was given.
        units: cost of an image, in forward passes: m passes, whose backward passes end at the cut, and their steps.
        gain: in the mean loss, from the random start on.
    """

    m: int
    n: int
    cut: str
    alpha: float
    units: float
    gain: float


@dataclass(frozen=True)
class CutTuning:
    """What was tried, and what was chosen.

    images, eps: of the measurement; reference: loss that `REFERENCE_STEPS` steps along fresh gradients gained; share:
    of that, which is wanted; settings: all that were tried, by their cost.
    """

    images: int
    eps: float
    share: float
    reference: float
    settings: tuple[Setting, ...]

    @property
    def suffices(self) -> bool:
        """Whether any setting gains the share."""
        return any(map(self._is_enough, self.settings))

    @property
    def chosen(self) -> Setting:
        """The cheapest that gains the share of the reference, else the one that gains most."""
        enough = filter(self._is_enough, self.settings)
        return next(enough, None) or max(self.settings, key=lambda one: one.gain)

    @property
    def front(self) -> list[Setting]:
        """Those that gain more than every cheaper one."""
        found: list[Setting] = []
        for one in self.settings:
            if not found or one.gain > found[-1].gain:
                found.append(one)
        return found

    def _is_enough(self, setting: Setting) -> bool:
        return setting.gain >= self.share * self.reference

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {name: getattr(self, name) for name in ("images", "eps", "share", "reference")}
        return {**found, "settings": [asdict(one) for one in self.settings], "chosen": asdict(self.chosen)}

    def to_table(self) -> str:
        """A line a setting that gains more than every cheaper one; what is chosen is marked."""
        rows = [
            (
                f"{'>' if one == self.chosen else ' '} {one.cut}", str(one.m), str(one.n), f"{one.alpha:.4f}",
                f"{one.units:.2f}", f"{one.gain:.4f}", f"{100 * one.gain / self.reference:.1f} %",
            )
            for one in self.front
        ]  # fmt: skip
        columns = f"cut|m|n|alpha|units|gain|of PGD-{REFERENCE_STEPS}".split("|")
        told = "" if self.suffices else f"none gains {100 * self.share:g} %; the one that gains most is marked\n"
        return f"{self.images} images, eps {self.eps:.4g}\n{format_table(columns, rows)}\n{told}".rstrip("\n")


def step_for(eps: float, steps: int) -> float:
    """`default_alpha` of all steps, at most ε: as far as PGD for measuring goes."""
    return min(eps, default_alpha(eps, steps))


@outside_inference_mode
def tune_cut(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    cuts: Sequence[str] | None = None,
    eps: float,
    alpha: float | None = None,
    share: float = 0.9,
    loss: Loss = cross_entropy,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    norm: str = "linf",
    seed: int = 0,
) -> CutTuning:
    """Crafts with every m of `PASSES`, n of `STEPS` and cut, from one random start, apart from the weights.

    YOPO's weights see η before its last n steps: it takes one pass more for the same η.

    Args:
        model, x, y, cuts, eps, loss, bounds, norm, seed: as for `cut_report`; a network that has been trained a little.
        alpha: step size of all; None: `step_for`.
        share: of the loss that `REFERENCE_STEPS` fresh steps gain, in (0, 1].

    Raises:
        ValueError: as `cut_report`; a share out of range, or fresh steps that gain nothing.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share:g}, expected above 0 and at most 1")
    with frozen_eval(model):
        found = measured_cuts(model, x, cuts)
        generator = torch.Generator(x.device).manual_seed(seed)
        start = random_start(x, eps=eps, bounds=bounds, norm=norm, generator=generator)
        craft = _Craft(model, x, y, loss, feasible_set(x, eps, bounds, norm), start)
        reference = craft.fresh(step_for(eps, REFERENCE_STEPS) if alpha is None else alpha)
        if reference <= 0:
            raise ValueError(
                f"eps: got {eps:g}, at which {REFERENCE_STEPS} steps along fresh gradients gain no loss "
                f"({reference:.3g}): there is nothing to compare with"
            )
        settings = [
            Setting(m, n, cut.name, step, m * (2 + cut.extra_units(n)), craft(cut, m, Ball(eps, step, bounds, norm), n))
            for cut in found for m in PASSES for n in STEPS
            for step in [step_for(eps, m * n) if alpha is None else alpha]
        ]  # fmt: skip
    settings.sort(key=lambda one: (one.units, -one.gain))
    return CutTuning(len(x), eps, share, reference, tuple(settings))


@dataclass(frozen=True)
class _Craft:
    model: nn.Module
    x: Tensor
    y: Tensor
    loss: Loss
    feasible: FeasibleSet
    start: Tensor

    def __call__(self, cut: Cut, m: int, ball: Ball, n: int) -> float:
        """The gain of m passes with n steps after each."""
        crafting = FrozenCrafting(self.model, FirstLayer(cut.modules), m, n)
        eta = crafting.climb(self.loss, self.y, ball, self.feasible, self.start, NoStopwatch())
        return self._gain(eta)

    def fresh(self, alpha: float) -> float:
        """The gain of `REFERENCE_STEPS` steps along the network's own gradient."""
        step_size = per_channel(alpha, self.x)
        eta = climb(self.model, self.y, self.loss, self.feasible, step_size, REFERENCE_STEPS, self.start)
        return self._gain(eta)

    @torch.no_grad()
    def _gain(self, eta: Tensor) -> float:
        before, after = (self.loss(self.model(self.x + one), self.y) for one in (self.start, eta))
        return float(after - before)
