# SPDX-License-Identifier: MIT
"""What `find_first_layer` and `find_cut` say of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from .call_trace import TracedCall
from .first_layer import FirstLayer


@dataclass(frozen=True)
class FoundFirstLayer:
    """The first layer of a network, as it can be given to `YOPO` and to `--first-layer`.

    Attributes:
        modules: in the order of their calls.
        names: theirs in the network, as "features.conv0".
        linear: whether it has no activation, so that n inner steps walk where one step of n · alpha walks (as long as
            the statistics of a batch norm are held).
        kernel: whether the kernels take it in the mode that the network was in; else it goes through autograd.
        reason: why it goes through autograd; empty for the kernels.
        end: why it ends where it does.
        error: relative error of its adjoint against the network's input gradient (`input_gradient_error`).
    """

    modules: tuple[nn.Module, ...]
    names: tuple[str, ...]
    linear: bool
    kernel: bool
    reason: str
    end: str
    error: float

    @classmethod
    def of(cls, calls: Sequence[TracedCall], root: str, *, linear: bool, end: str, error: float) -> FoundFirstLayer:
        """That of these calls; `root` stands before their names."""
        modules = tuple(call.module for call in calls)
        reason = FirstLayer(modules).explain().reason
        return cls(modules, tuple(root + call.name for call in calls), linear, not reason, reason, end, error)

    def __str__(self) -> str:
        kinds = ", ".join(type(module).__name__ for module in self.modules)
        steps = (
            "n steps walk where one of n alpha walks" if self.linear else "each of the n steps has a slope of its own"
        )
        path = "runs through the kernels" if self.kernel else f"runs through autograd, slower: {self.reason}"
        return (
            f"first layer: {','.join(self.names)} ({kinds})\n"
            f"{'linear' if self.linear else 'nonlinear'}: {steps}\n"
            f"{path}\n"
            f"ends there: {self.end}\n"
            f"against the network's input gradient: relative error {self.error:.2g}"
        )
