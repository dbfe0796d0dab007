# SPDX-License-Identifier: MIT
"""The mini-batches of one weight step, whose gradients are gathered before the weights move."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class GradientGroup:
    """Makes `.grad` the mean over all images of ``every`` mini-batches, as if they were one.

    An adversary adds the mean over its own mini-batch. While the group is open, `.grad` is the sum over images in
    units of the latest mini-batch; equally large ones are added up as they come. An epoch's last group may be smaller.

    Args:
        every: mini-batches a weight step >= 1.

    Attributes:
        own, joint: images so far, this process's and those of all that share its mini-batches.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.start()

    def begins(self, position: int) -> bool:
        """Whether the epoch's mini-batch ``position`` (from 1) is the first of a group."""
        return (position - 1) % self.every == 0

    def ends(self, position: int, steps: int) -> bool:
        """Whether it is the last of one, in an epoch of ``steps`` mini-batches."""
        return position % self.every == 0 or position == steps

    def middle(self, position: int, steps: int) -> float:
        """The share of the epoch that is done in the middle of the mini-batch's weight step."""
        return ((position - 1) // self.every + 0.5) / -(-steps // self.every)

    def start(self) -> None:
        """A new group: `.grad` holds nothing."""
        self.own = self.joint = self._unit = 0

    def make_room(self, parameters: Iterable[nn.Parameter], own: int, joint: int) -> None:
        """Before the gradients of a mini-batch are added: ``own`` images of this process, of ``joint`` in all."""
        if own and self._unit not in (0, own):
            _multiply(parameters, self._unit / own)
        self._unit = own or self._unit
        self.own, self.joint = self.own + own, self.joint + joint

    def finish(self, parameters: Iterable[nn.Parameter]) -> None:
        """Makes `.grad` the mean over this process's images."""
        if self.own != self._unit:
            _multiply(parameters, self._unit / self.own)


def _multiply(parameters: Iterable[nn.Parameter], factor: float) -> None:
    gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor)
