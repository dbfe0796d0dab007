# SPDX-License-Identifier: MIT
"""The weights are to say the same at the perturbation as where the attack began (Jia et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import arguments
from ..objectives.objective import Objective, Outputs
from ..options import Options, option

#: What becomes of the outputs at the prior.
CONSISTENCY_OUTPUTS = ("graph", "detached")


class Consistency:
    """Adds λ · ‖z(x + η) − z(x + η⁰)‖² / K, the mean over the mini-batch, to what the weights descend.

    It is the regulariser of "Prior-guided adversarial initialization for fast adversarial training" (Jia et al., ECCV
    2022), whose code has the mean of the squares over images and classes and λ = 10. z are the objective's `logits`,
    (B, K).

    The outputs at η⁰ are those of the attack's first step: no forward pass is added.

    Args:
        weight: λ >= 0.
        outputs: "graph", the authors' way: gradients flow through the outputs at η⁰ too, which takes a backward pass
            more. "detached": they are a target that stands still.

    Attributes:
        share: of λ that counts now, 1 unless it is ramped; may be set between mini-batches.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, weight: float, outputs: str = "graph") -> None:
        if not isinstance(weight, (int, float)) or isinstance(weight, bool):
            raise TypeError(f"consistency: got {weight!r}, expected a finite number >= 0")
        if not 0.0 <= weight < float("inf"):
            raise ValueError(f"consistency: got {weight}, expected a finite number >= 0")
        self.weight = weight
        self.outputs = arguments.one_of("consistency_outputs", outputs, CONSISTENCY_OUTPUTS)
        self._share = 1.0
        self._now: Tensor | None = None

    @property
    def share(self) -> float:
        """Of λ that counts now."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        self._share = share
        if self._now is not None:  # in place: a CUDA graph reads it where it was recorded
            self._now.fill_(self.weight * share)

    @property
    def keeps_graph(self) -> bool:
        """Whether the attack's first pass has to keep its graph."""
        return self.outputs == "graph"

    def penalty(self, objective: Objective, outputs: Outputs, prior: Outputs) -> Tensor:
        """λ times the distance of the network's outputs from those at η⁰, 0-d.

        Raises:
            TypeError: the objective's logits are no tensor (B, K).
        """
        now, before = (_logits(objective, one) for one in (outputs, prior))
        if not self.keeps_graph:
            before = before.detach()
        if self._now is None or self._now.device != now.device:
            self._now = torch.full((), self.weight * self._share, device=now.device)
        return self._now.to(now.dtype) * (now - before).square().mean()


def require_logits(objective: Objective) -> None:
    """
    Raises:
        ValueError: the objective has no logits to compare.
    """
    if not callable(getattr(objective, "logits", None)):
        raise ValueError(
            f"consistency: got objective {type(objective).__name__}, expected one with logits(outputs), (B, K)"
        )


@dataclass(frozen=True)
class ConsistencyOptions(Options):
    """Of methods that compare the outputs where their attack began and ended."""

    consistency: float = option(
        0.0, "λ of λ · mean squared distance of the logits at η from those at the start of the attack", least=0
    )
    consistency_outputs: str = option(
        "graph",
        "the logits at the start of the attack: in the graph, or a detached target",
        choices=CONSISTENCY_OUTPUTS,
        beside="consistency",
    )

    def made(self) -> Consistency | None:
        """What they ask for; None: nothing."""
        return Consistency(self.consistency, self.consistency_outputs) if self.consistency else None


def _logits(objective: Any, outputs: Outputs) -> Tensor:
    logits = objective.logits(outputs)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or not logits.is_floating_point():
        given = f"{logits.dtype} {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"consistency: got logits {given}, expected a floating point tensor (B, K)")
    return logits.float() if logits.element_size() < 4 else logits
