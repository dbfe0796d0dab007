# SPDX-License-Identifier: MIT
"""TRADES-YOPO-m-n (Zhang et al., NeurIPS 2019): the attack of TRADES by YOPO, then an ordinary TRADES step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball
from ..batch_statistics import BN_STATISTICS, BN_STATISTICS_HELP
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..joint_generator import normal_like
from ..loss_scale import losses_are_scaled
from ..module_sequence import Modules
from ..objectives import Trades
from ..objectives.kl_divergence import kl_divergence
from ..objectives.objective import Loss, Objective, as_objective
from ..options import Options, option
from ..stopwatch import NoStopwatch, Stopwatch
from .bounds_watch import BoundsWatch
from .crafting_mode import BN_MODES, MODEL_MODE_HELP, model_in
from .frozen_crafting import FrozenCrafting
from .method import Ingredients, Method
from .random_start import feasible_images
from .trades import START, clean_log_probabilities
from .weight_pass import weight_pass

#: As published for CIFAR-10, TRADES-YOPO-3-4.
PASSES, STEPS = 3, 4


class TRADESYOPO:
    """η by m passes of n inner steps each on KL(clean ‖ adversarial), then the two passes of TRADES.

    The m passes only craft: they leave the weights' gradients alone and end at the first layer's output.

    Args:
        model, ball, loss, bn_mode, generator: as for `TRADES`, and the start as there.
        first_layer: as for `YOPO`.
        m: crafting passes >= 1.
        n: inner steps after each >= 0.
        bn_statistics: as for `YOPO`; with bn_mode="eval" batch norm has its running statistics in the n steps too.

    Attributes:
        ball: may be set between mini-batches.
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        first_layer: Modules | FirstLayer,
        ball: Ball,
        m: int = PASSES,
        n: int = STEPS,
        *,
        loss: Loss | Objective | None = None,
        bn_mode: str = "eval",
        bn_statistics: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.ball = model, ball
        self.first_layer = FirstLayer(first_layer, bn_statistics)
        self.objective = Trades() if loss is None else as_objective(loss)
        self._crafting = FrozenCrafting(model, self.first_layer, m, n)
        self.m, self.n = m, n
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """Add the gradients of the objective to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError, RuntimeError: as `YOPO.accumulate`.
        """
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x = feasible.x
        start = feasible.project(START * normal_like(x, self.generator))
        # So close to the clean images the mean's gradient would leave the range of float16; its direction is the same.
        # Scaled losses are in that range, and the sum would leave it on the other side.
        scale = 1 if losses_are_scaled() else len(x)
        with model_in(self.bn_mode, self.model):
            with self.stopwatch.span("passes"):
                target = clean_log_probabilities(self.model, x)
            self.eta = self._crafting.climb(
                kl_divergence, target, self.ball, feasible, start, self.stopwatch, scale=scale
            )
        with self.stopwatch.span("passes"):
            return weight_pass(self.model, self.objective, x + self.eta, y, clean=x)


@dataclass(frozen=True)
class TRADESYOPOOptions(Options):
    """Of TRADES-YOPO."""

    m: int = option(PASSES, "crafting passes a mini-batch", least=1)
    n: int = option(STEPS, "inner steps after each pass", least=0)
    bn_mode: str | None = option(None, MODEL_MODE_HELP, choices=BN_MODES)
    bn_statistics: str = option("frozen", BN_STATISTICS_HELP, choices=BN_STATISTICS)


def _build(given: Ingredients) -> TRADESYOPO:
    options = given.options
    return TRADESYOPO(
        given.model, given.first_layer, given.ball, options.m, options.n, loss=given.objective,
        bn_mode=options.bn_mode or "eval", bn_statistics=options.bn_statistics, generator=given.generator,
    )  # fmt: skip


METHOD = Method(
    "trades-yopo", "TRADES-YOPO", "TRADES with the attack of YOPO-M-N (Zhang et al., NeurIPS 2019)", _build,
    TRADESYOPOOptions, numbers=("m", "n"), objective="trades", in_first_layer=True,
)  # fmt: skip
