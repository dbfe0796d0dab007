# SPDX-License-Identifier: MIT
"""η by passes that find the co-state and nothing else, and steps inside the first layer after each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..ball import Ball
from ..costate import Costate, cut_at_first_layer
from ..first_layer import FirstLayer
from ..frozen_parameters import without_weight_gradients
from ..input_gradient import adjoint
from ..loss_scale import watched
from ..projection import FeasibleSet
from ..stopwatch import NoStopwatch, Stopwatch
from .adversary import backward, require_single
from .attack_start import FirstStep
from .first_pass import InputProbe, is_recorded


class FrozenCrafting:
    """The attack of YOPO-m-n, apart from any weight pass.

    Each of the m passes goes forward through the network and back to the first layer's output, p frozen there for the n
    steps after it. No gradient of a weight is made, the loss's own parameters included.

    The first p that is not 0 everywhere is checked: see `InputProbe`.

    Args:
        model: called as model(x + eta); its mode is the caller's business.
        first_layer: of the model.
        m: passes >= 1.
        n: steps inside the first layer after each >= 0.

    Attributes:
        checked: whether the first layer has been.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, model: nn.Module, first_layer: FirstLayer, m: int, n: int) -> None:
        self.model, self.first_layer = model, first_layer
        self.m = arguments.count("m", m, least=1)
        self.n = arguments.count("n", n)
        self.checked = False

    def climb(
        self,
        attack: Callable[[Any, Any], Tensor],
        y: Any,
        ball: Ball,
        feasible: FeasibleSet,
        eta: Tensor,
        stopwatch: Stopwatch | NoStopwatch,
        *,
        scale: float = 1.0,
        first: FirstStep | None = None,
    ) -> Tensor:
        """The perturbation that the passes and steps make of η.

        Args:
            attack: attack(outputs, y) is climbed, 0-d.
            ball: with the size of a step; `feasible` is its set around the images.
            eta: where it starts, in the feasible set.
            stopwatch: of the spans "passes" and "inner".
            scale: of p, for losses whose gradients would leave the range of its dtype.
            first: gets what the first pass saw: its outputs, detached, and the images' gradient where it wants that.

        Raises:
            TypeError, ValueError: what is climbed is not 0-d.
            RuntimeError: as `YOPO.accumulate`.
        """
        for index in range(self.m):
            with stopwatch.span("passes"):
                costate, outputs = self._costate(feasible.x + eta, attack, y, scale)
            if first is not None and index == 0:
                self._tell(first, feasible.x + eta, costate, outputs)
            with stopwatch.span("inner"):
                eta = self.first_layer.ascend(
                    ball, feasible, eta, watched(costate.value), steps=self.n, statistics=costate.statistics
                )
        return eta

    def _tell(self, first: FirstStep, images: Tensor, costate: Costate, outputs: Any) -> None:
        first.outputs = outputs
        if first.wants_gradient:
            quiet = without_weight_gradients(*self.first_layer.modules)
            with torch.autocast(images.device.type, enabled=False), quiet:
                hamiltonian = self.first_layer.hamiltonian
                first.gradient = adjoint(hamiltonian, images, costate.value, statistics=costate.statistics)

    def _costate(
        self, images: Tensor, attack: Callable[[Any, Any], Tensor], y: Any, scale: float
    ) -> tuple[Costate, Any]:
        probe = None if self.checked or is_recorded() else InputProbe(self.first_layer, images)
        catch = cut_at_first_layer(self.first_layer) if probe is None else probe.catch(cuts=True)
        with without_weight_gradients(self.model), catch as costate:
            outputs = self.model(images if probe is None else probe.images)
            value = attack(outputs, y)
            require_single(value)
            ends = (costate.beginning, None if probe is None else probe.leaf)
            backward(value, scale, inputs=[leaf for leaf in ends if leaf is not None])
        if probe is not None:
            self.checked = probe.compare(costate)
        return costate, outputs.detach() if isinstance(outputs, Tensor) else outputs
