# SPDX-License-Identifier: MIT
"""Perturbations that many images share: each follows the momentum of its images' mean gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import arguments
from ...memory_room import require_room
from ...processes import Processes
from ...projection import FeasibleSet
from .start import Found, Start, State, require_ball_of, require_decay, require_norm, require_shape

#: Of the momentum, as in the authors' code.
DECAY = 0.3


class AveragedGradients(Start):
    """η⁰ = u_k, one perturbation for each of several groups of images ("Adversarial initialization with universal
    adversarial perturbation", Pan, Li, Yao, AAAI 2024).

    After a mini-batch, for each group that it holds images of, with ḡ the mean of their loss gradients at η⁰:

        m ← decay · m + ḡ / ‖ḡ‖₁,    u ← Π(u + eps · sign(m))

    u and m are kept in units of eps, so that they grow with a ball that does. With norm "l2" sign(m) is m / ‖m‖₂.
    The authors let u reach 10/255 where eps is 8/255, and cut it only where it is used; here it stays in the ball.

    With several processes all remember the same: the gradients' sums are added up at each mini-batch. The first u are
    corners of the ball, drawn at random.

    Args:
        groups: how many.
        shape: (C, H, W) of an image.
        decay: of the momentum, from 0 to below 1.
        norm: of the ball, "linf" or "l2".
        generator: for the first u, on ``device``, alike on all processes; None for torch's own.
        device: of the images.
        processes: those that share the mini-batches.

    Attributes:
        eta: u / eps, (groups, C, H, W) float32.
        momentum: m, the same shape.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also where there is no room for so much.
    """

    needs_gradient = True

    def __init__(
        self,
        groups: int,
        shape: tuple[int, int, int],
        *,
        decay: float = DECAY,
        norm: str = "linf",
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        groups, shape = arguments.count("groups", groups, least=1), require_shape(shape)
        self.decay, self.norm = require_decay(decay), require_norm(norm)
        self.processes = Processes() if processes is None else processes
        size = (groups, *shape)
        require_room("start", bytes_for(groups, shape), device)
        drawn = torch.empty(size, device=device).uniform_(-1.0, 1.0, generator=generator)
        self.eta = self._unit(drawn)
        self.momentum = torch.zeros(size, device=device)
        # What the mini-batch adds, with the number of its images last: one message.
        self._sums = torch.zeros(groups, self.eta[0].numel() + 1, device=device)

    def group_of(self, y: Any, count: int) -> Tensor:
        """Which group each of the images belongs to, (B,) int64 on the device."""
        raise NotImplementedError

    @torch.no_grad()
    def draw(self, feasible: FeasibleSet, y: Any) -> Tensor:
        """The groups' perturbations, in the set.

        Raises:
            TypeError, ValueError: a ball of another norm, images of another shape, or targets that name no group.
        """
        require_ball_of(self.norm, feasible)
        x = feasible.x
        if x.shape[1:] != self.eta.shape[1:]:
            raise ValueError(f"start: got images {tuple(x.shape[1:])}, expected {tuple(self.eta.shape[1:])}")
        return feasible.project((self.eta[self.group_of(y, len(x))] * feasible.eps).to(x))

    @torch.no_grad()
    def keep(self, feasible: FeasibleSet, y: Any, found: Found) -> None:
        """The mini-batch's gradients, added up by groups."""
        with torch.autocast(found.gradient.device.type, enabled=False):
            g = found.gradient.float().flatten(1) * len(found.gradient)  # of each image's own loss
            ones = torch.ones_like(g[:, :1])
            members = self.group_of(y, len(g)) == torch.arange(len(self.eta), device=g.device)[:, None]
            # A product, whose sums have one order; adding by index has none on a GPU.
            self._sums.copy_(members.float() @ torch.cat([g, ones], 1))
        if self.processes.count == 1:
            self._move()

    @torch.no_grad()
    def settle(self) -> None:
        """With several processes: moves the perturbations by the sums of all."""
        if self.processes.count > 1:
            self.processes.sum(self._sums)
            self._move()

    def state_dict(self) -> State:
        """The perturbations and their momentum, alike on all processes."""
        return {"eta": self.eta, "momentum": self.momentum}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` gave."""
        self.eta.copy_(state["eta"])
        self.momentum.copy_(state["momentum"])

    def _move(self) -> None:
        sums, count = self._sums[:, :-1], self._sums[:, -1:]
        share = sums / sums.abs().mean(1, keepdim=True)
        usable = (count > 0) & share.isfinite().all(1, keepdim=True)  # a scaled loss may have overflowed
        wide = usable.reshape(-1, 1, 1, 1)
        momentum = self.decay * self.momentum + torch.where(usable, share, 0).reshape(self.eta.shape)
        self.momentum.copy_(torch.where(wide, momentum, self.momentum))
        self.eta.copy_(torch.where(wide, self._in_ball(self.eta + self._unit(momentum)), self.eta))
        self._sums.zero_()

    def _unit(self, direction: Tensor) -> Tensor:
        return direction.sign() if self.norm == "linf" else direction / _lengths(direction).clamp(min=1e-12)

    def _in_ball(self, eta: Tensor) -> Tensor:
        return eta.clamp(-1.0, 1.0) if self.norm == "linf" else eta / _lengths(eta).clamp(min=1.0)


def bytes_for(groups: int, shape: tuple[int, int, int]) -> int:
    """What so many groups take: the perturbation, its momentum and a mini-batch's sums, float32."""
    channels, height, width = shape
    return 3 * 4 * groups * channels * height * width


def _lengths(t: Tensor) -> Tensor:
    return t.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
