# SPDX-License-Identifier: MIT
"""TRADES-YOPO-m-n (Zhang et al., NeurIPS 2019): the attack of TRADES by YOPO, then an ordinary TRADES step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import backward
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.crafting_mode import BN_MODES, model_in, without_weight_gradients
from yopo_ext.adversaries.first_pass import InputProbe, is_recorded
from yopo_ext.adversaries.joint_generator import normal_like
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, checked_feasible_set
from yopo_ext.adversaries.trades import START, TwoSidedObjective, clean_log_probabilities, two_sided_pass
from yopo_ext.arguments import PerChannel
from yopo_ext.costate import capture_costate
from yopo_ext.first_layer import FirstLayer, Modules
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives.kl_divergence import kl_divergence
from yopo_ext.stopwatch import NoStopwatch, Stopwatch


class TRADESYOPO:
    """η by m passes of n inner steps each on KL(clean ‖ adversarial), then the two passes of TRADES.

    The m passes only craft: they leave the weights' gradients alone and end at the first layer's output.

    Args:
        model: called as model(x); its mode is the caller's business.
        first_layer: as for `YOPO`.
        objective: what the weights minimise, as `functools.partial(yopo_ext.objectives.trades, beta=1.0)`.
        m: crafting passes >= 1.
        n: inner steps after each >= 0.
        eps, alpha, bounds, norm, generator: as for `YOPO`; the start is 0.001 · N(0, 1).
        bn_mode: "eval", as published, crafts with the whole model in eval mode, dropout included; "train" in the mode
            it is in.

    Attributes:
        eta: the last batch's perturbation, None before the first.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        first_layer: Modules | FirstLayer,
        objective: TwoSidedObjective,
        m: int = 3,
        n: int = 4,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel = 2 / 255,
        *,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        bn_mode: str = "eval",
        generator: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.first_layer = FirstLayer(first_layer)
        self.objective = objective
        self.m = arguments.count("m", m)
        if m == 0:
            raise ValueError("m: got 0, expected at least 1 crafting pass")
        self.n = arguments.count("n", n)
        self.norm = arguments.one_of("norm", norm, arguments.NORMS)
        require_radius_below_box(eps, bounds, norm)
        self.eps, self.alpha, self.bounds = eps, alpha, bounds
        self.bn_mode = arguments.one_of("bn_mode", bn_mode, BN_MODES)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._checked = False

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Add the gradients of the objective to `.grad`; metrics as `batch_metrics`, on the perturbed images.

        Raises:
            TypeError, ValueError, RuntimeError: as `YOPO.accumulate`.
        """
        feasible = checked_feasible_set(x, self.eps, self.alpha, self.bounds, self.norm)
        self._watch_bounds(x, self.bounds)
        x = x.detach()
        eta = feasible.project(START * normal_like(x, self.generator))
        with model_in(self.bn_mode, self.model), without_weight_gradients(self.model):
            with self.stopwatch.span("passes"):
                target = clean_log_probabilities(self.model, x)
            for _ in range(self.m):
                with self.stopwatch.span("passes"):
                    p = self._costate(x + eta, target)
                with self.stopwatch.span("inner"):
                    eta = self.first_layer.inner_ascent(
                        x, eta, p, eps=self.eps, alpha=self.alpha, steps=self.n, bounds=self.bounds, norm=self.norm
                    )
        self.eta = eta
        with self.stopwatch.span("passes"):
            return two_sided_pass(self.model, self.objective, x, x + eta, y)

    def _costate(self, adversarial: Tensor, target: Tensor) -> Tensor:
        """p of the divergence at these images, summed; the first one that is not 0 everywhere is checked."""
        # So close to the clean images the mean's gradient would leave the range of float16; its direction is the same.
        if self._checked or is_recorded():
            with capture_costate(self.first_layer) as costate:
                backward(kl_divergence(self.model(adversarial), target), len(adversarial))
            return costate.value
        probe = InputProbe(self.first_layer, adversarial)
        with probe.catch(cuts=False) as costate:
            backward(kl_divergence(self.model(probe.images), target), len(adversarial))
        self._checked = probe.compare(costate.value)
        return costate.value
