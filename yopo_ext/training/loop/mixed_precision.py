# SPDX-License-Identifier: MIT
"""Passes in half precision, and for float16 what keeps its gradients in range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...adversaries import Adversary
from ...loss_scale import LossScale
from ..files import TrainingError

AMP = ("auto", "bf16", "fp16", "off")
#: Gradients that are not finite at this scale either are not so by float16's range.
LEAST_SCALE = 2.0**-10


class MixedPrecision:
    """Autocast of an adversary's passes; with float16 torch's gradient scaler too.

    Losses are multiplied by the scale before every gradient, the weights' as the attack's (`LossScale`). Where one of
    them overflows, the weights stay where they are, as does what follows them (momentum, the average of the weights),
    and the scale is halved.

    Args:
        device: of the run.
        amp: as of `Trainer`.
    """

    def __init__(self, device: torch.device, amp: str) -> None:
        if amp not in AMP:
            raise ValueError(f"amp: got {amp!r}, expected one of {', '.join(AMP)}")
        self.device, self.dtype = device, _dtype(device, amp)
        self._scale = LossScale(device) if self.dtype == torch.float16 else None
        self._scaler = None if self._scale is None else torch.amp.GradScaler(device.type)
        self._read_scale()  # a process may have no images in the first mini-batch, and steps all the same
        self._skipped = 0

    def accumulate(self, adversary: Adversary, x: Tensor, y: Any, weights: Sequence[nn.Parameter]) -> dict[str, Tensor]:
        """The adversary's gradients, for float16 scaled, are added to `.grad` of the weights; its metrics.

        Raises:
            RuntimeError: with float16, an adversary that takes the gradients itself, not by `backward`.
        """
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            if self._scale is None:
                return adversary.accumulate(x, y)
            self._read_scale()
            with self._scale.in_use():
                metrics = adversary.accumulate(x, y)
        if not self._scale.used:
            raise RuntimeError(
                f"amp: got fp16 with {type(adversary).__name__}, which takes its gradients itself, so that nothing "
                "keeps them in float16's range; expected one that calls weight_pass or backward of "
                "yopo_ext.adversaries, or amp bf16"
            )
        if (first := next((one.grad for one in weights if one.grad is not None), None)) is not None:
            first.add_(self._scale.overflow)
        return metrics

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes gradients that were scaled the true ones."""
        if self._scaler is not None and _has_gradients(optimizer):
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Steps the optimiser, on true gradients; whether it did. With float16 this waits for the device.

        Raises:
            TrainingError: gradients that are not finite at any scale.
        """
        if self._scaler is None or not _has_gradients(optimizer):
            optimizer.step()
            return True
        before = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        now = self._scaler.get_scale()
        if now >= before:
            return True
        self._skipped += 1
        if now < LEAST_SCALE:
            raise TrainingError(f"the gradients are not finite, whatever the loss is scaled by (down to {now:g})")
        return False

    def record(self) -> dict[str, float]:
        """What an epoch's record says of it: with float16 "loss_scale", and "skipped_steps" of the run so far."""
        if self._scaler is None:
            return {}
        return {"loss_scale": self._scaler.get_scale(), "skipped_steps": self._skipped}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {} if self._scaler is None else {"scaler": self._scaler.state_dict(), "skipped": self._skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave; that of another precision is passed over."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state["scaler"])
            self._skipped = state["skipped"]

    def _read_scale(self) -> None:
        if self._scale is not None and self._scaler is not None:
            self._scale.factor.copy_(self._scaler.scale(torch.ones_like(self._scale.factor)))


def _dtype(device: torch.device, amp: str) -> torch.dtype | None:
    if amp == "auto":
        fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if fast else None
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[amp]


def _has_gradients(optimizer: torch.optim.Optimizer) -> bool:
    return any(one.grad is not None for group in optimizer.param_groups for one in group["params"])
