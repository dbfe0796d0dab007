# SPDX-License-Identifier: MIT
"""YOPO-m-n with a step of the optimiser after each of its m passes, as Free has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..arguments import Bounds, PerChannel
from ..batch_statistics import BN_STATISTICS, BN_STATISTICS_HELP
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective
from ..options import Options, option
from ..projection import FeasibleSet
from .kept_perturbation import KeptPerturbation
from .method import Ingredients, Method
from .random_start import draw
from .yopo import FIRST_LAYER_GRADS, YOPO

STARTS = ("kept", "random")


class FreeYOPO(YOPO):
    """Each pass gives the weights their gradient and η its n steps inside the first layer; then the weights move.

    A mini-batch is replayed m times, with a step of the optimiser after each pass, as `Free` has it, so the epochs are
    m times fewer. With n = 1 and a linear first layer it is Free-m.

    Args:
        model, first_layer, n, loss, bounds, norm, bn_statistics, direction, precision, backend: as for `YOPO`.
        first_layer_grad: as for `YOPO`. The n steps of one pass may cross the ball, and ∂H behind them, by a p that
            has not moved, spoils the first layer (measured on CIFAR-10), so that this is not the default.
        m: passes a mini-batch >= 1, each a call of `accumulate`.
        eps, alpha: the radius, and the size of an inner step.
        start: where a mini-batch starts. "kept": where the one before ended, row by row, as in Free, and at 0 in the
            first one. "random": anywhere in the ball.
        generator: for the random start, on the images' device.

    Attributes:
        ball: may be set between mini-batches.
        replays: m.
        eta: the last pass's perturbation after its steps, None before the first.

    Raises:
        TypeError, ValueError: as `YOPO`.
    """

    def __init__(
        self,
        model: nn.Module,
        first_layer: Modules | FirstLayer,
        m: int = 5,
        n: int = 3,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel = 8 / 255 / 3,
        *,
        loss: Loss | Objective = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        first_layer_grad: str = "backprop",
        bn_statistics: str | None = None,
        start: str = "kept",
        generator: torch.Generator | None = None,
        direction: str = "sign",
        precision: str | None = None,
        backend: str | None = None,
    ) -> None:
        super().__init__(
            model, first_layer, m, n, eps, alpha, loss=loss, bounds=bounds, norm=norm,
            first_layer_grad=first_layer_grad, bn_statistics=bn_statistics, generator=generator, direction=direction,
            precision=precision, backend=backend,
        )  # fmt: skip
        self.replays = self.m
        self.starts_anew = arguments.one_of("start", start, STARTS) == "random"
        self._kept = KeptPerturbation()
        # On the device: a recorded pass counts as well.
        self._passes_made: Tensor | None = None

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """One of the m passes: add the gradients at x + η to `.grad`, then move η.

        Returns, raises:
            As `YOPO.accumulate`, of one pass.
        """
        metrics = super().accumulate(x, y)
        self._kept.rows(x.detach()).copy_(self.eta)  # type: ignore[arg-type]  # which it has set
        if self._passes_made is not None:
            self._passes_made.add_(1).remainder_(self.replays)
        return metrics

    @torch.no_grad()
    def begin(self, feasible: FeasibleSet) -> Tensor:
        """η of this pass: what the one before left, or a draw where that was another mini-batch's last."""
        kept = feasible.project(self._kept.rows(feasible.x))
        if not self.starts_anew:
            return kept
        if self._passes_made is None:
            self._passes_made = torch.zeros((), dtype=torch.int64, device=feasible.x.device)
        # Drawn at every pass, for which pass it is is not to be waited for.
        return torch.where(self._passes_made == 0, draw(feasible, self.generator), kept)

    @property
    def _passes(self) -> int:
        return 1

    @property
    def _needs_last_ascent(self) -> bool:
        return True

    @property
    def remembered(self) -> Tensor | None:
        """Where η is kept: a recorded pass reads and writes it there."""
        return self._kept.eta

    def state_dict(self) -> dict[str, Tensor | None]:
        """What is kept from one mini-batch to the next, for a checkpoint between them."""
        return {"eta": None} if self.starts_anew else self._kept.state_dict()

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """What `state_dict` gave."""
        self._kept.load_state_dict(state)
        if self._passes_made is not None:
            self._passes_made.zero_()

    reshare = staticmethod(KeptPerturbation.reshare)


@dataclass(frozen=True)
class FreeYOPOOptions(Options):
    """Of YOPO with a weight step at each pass."""

    m: int = option(5, "full passes a mini-batch", least=1)
    n: int = option(3, "inner steps after each pass", least=0)
    keep_eta: bool = option(True, "begin where the mini-batch before ended, row by row; else anywhere in the ball")
    first_layer_grad: str = option("backprop", "what the first layer's parameters get", choices=FIRST_LAYER_GRADS)
    bn_statistics: str = option("frozen", BN_STATISTICS_HELP, choices=BN_STATISTICS)


def _build(given: Ingredients) -> FreeYOPO:
    ball, options = given.ball, given.options
    return FreeYOPO(
        given.model, given.first_layer, options.m, options.n, ball.eps, ball.alpha, loss=given.objective,
        bounds=ball.bounds, norm=ball.norm, first_layer_grad=options.first_layer_grad,
        bn_statistics=options.bn_statistics, start="kept" if options.keep_eta else "random",
        generator=given.generator,
    )  # fmt: skip


METHOD = Method(
    "free-yopo", "Free-YOPO", "YOPO-M-N with a step of the weights after each pass, η kept as Free keeps it", _build,
    FreeYOPOOptions, numbers=("m", "n"), step_size=lambda eps, options: eps / max(options.n, 1), in_first_layer=True,
    weights_before_steps=True,
)  # fmt: skip
