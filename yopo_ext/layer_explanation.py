# SPDX-License-Identifier: MIT
"""How a first layer runs, and why."""

from __future__ import annotations

from dataclasses import dataclass

from .ops import Explanation


@dataclass(frozen=True)
class LayerExplanation:
    """How a `FirstLayer` runs.

    Attributes:
        path: "operator", one fused call; or "autograd", n forward and backward evaluations of the modules.
        reason: why the path is "autograd"; empty for "operator".
        backend: the operator's backends (`yopo_ext.explain`); None for "autograd", or where no images were
            given.
        input_gradient_error: what the check of YOPO's first batch found (`input_gradient_error`); None before it.
    """

    path: str
    reason: str
    backend: Explanation | None
    input_gradient_error: float | None = None

    def __str__(self) -> str:
        found = self.input_gradient_error
        compared = "" if found is None else f"\nagainst the network's input gradient: relative error {found:.2g}"
        if self.path == "autograd":
            return f"runs through autograd, slower: {self.reason}{compared}"
        return (str(self.backend) if self.backend else "runs through the operators") + compared
