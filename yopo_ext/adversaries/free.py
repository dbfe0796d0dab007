# SPDX-License-Identifier: MIT
"""Free adversarial training (Shafahi et al., NeurIPS 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import Loss, backward
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, checked_feasible_set
from yopo_ext.arguments import PerChannel
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives import cross_entropy
from yopo_ext.projection import per_channel
from yopo_ext.stopwatch import NoStopwatch, Stopwatch


class Free:
    """Free-m: each pass gives the weights their gradient and moves η by the same backward pass.

    A mini-batch is replayed m times, with a step of the optimiser after each pass, and η is kept from one mini-batch
    to the next; so the epochs are m times fewer:

        for x, y in loader:
            for _ in range(free.replays):
                optimizer.zero_grad()
                free.accumulate(x, y)
                optimizer.step()

    It cannot craft in another mode than it trains in, for the two are one pass.

    Args:
        model: called as model(x); its mode is the caller's business.
        m: passes a mini-batch >= 1.
        eps: radius; alpha: step size, eps where None, as published. One value, or with linf one per channel.
        loss, bounds, norm: as for `PGD`. The published code keeps η outside of the box and cuts x + η; here η itself
            is cut.

    Attributes:
        eta: the perturbation, (B, C, H, W) of the largest mini-batch so far; a smaller one uses its first rows. None
            before the first, which starts at 0.
        replays: m.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        model: nn.Module,
        m: int = 8,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel | None = None,
        *,
        loss: Loss = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
    ) -> None:
        self.model = model
        self.replays = arguments.count("m", m)
        if m == 0:
            raise ValueError("m: got 0, expected at least 1 pass")
        self.norm = arguments.one_of("norm", norm, arguments.NORMS)
        require_radius_below_box(eps, bounds, norm)
        self.eps, self.alpha, self.bounds = eps, eps if alpha is None else alpha, bounds
        self.loss = loss
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """One of the m passes: add the gradients at x + η to `.grad`, then move η.

        Returns:
            As `batch_metrics`, at the η before it moved.

        Raises:
            TypeError, ValueError: naming the argument; ValueError for a loss that is not 0-d.
        """
        feasible = checked_feasible_set(x, self.eps, self.alpha, self.bounds, self.norm)
        self._watch_bounds(x, self.bounds)
        x = x.detach()
        self._make_room(x)
        eta = feasible.project(self.eta[: len(x)]).requires_grad_()
        with self.stopwatch.span("passes"):
            outputs = self.model(x + eta)
            loss = self.loss(outputs, y)
            backward(loss)
        with self.stopwatch.span("inner"), torch.no_grad():
            self.eta[: len(x)] = feasible.step(eta.detach(), eta.grad, per_channel(self.alpha, x))
        return batch_metrics(loss, outputs, y, len(x))

    def state_dict(self) -> dict[str, Tensor | None]:
        """The memory, for a checkpoint."""
        return {"eta": self.eta}

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """What `state_dict` gave."""
        self.eta = state["eta"]

    def _make_room(self, x: Tensor) -> None:
        known = x[:0] if self.eta is None or self.eta.shape[1:] != x.shape[1:] else self.eta.to(x)
        if len(known) < len(x) or self.eta is None:
            known = torch.cat([known, torch.zeros_like(x[len(known) :])])
        self.eta = known
