# SPDX-License-Identifier: MIT
"""Exponential averaging of the weights (EWA), whose average is more robust than the last weights (Pang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...options import Options, option
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts


@dataclass(frozen=True)
class AveragingOptions(Options):
    """Whether there is an average."""

    ewa_decay: float = option(
        0.0, "measure an exponential average of the weights, as 0.999; 0: the last ones", least=0, below=1
    )


class Averaging(Event):
    """``average ← decay · average + (1 − decay) · model`` after each step, batch-norm statistics too.

    It starts at the model's state, and is what is measured.

    Args:
        model: the network in training.
        decay: from 0 to below 1.
    """

    name = "averaging"
    order = 5

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.measured_model = self.average.module

    def on_weights(self, trainer: Trainer) -> None:
        self.average.update_parameters(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)


def averaged_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The network's weights from the event's state."""
    return {name.removeprefix("module."): value for name, value in state.items() if name != "n_averaged"}


def _build(options: AveragingOptions, parts: Parts) -> Averaging | None:
    return Averaging(parts.model, options.ewa_decay) if options.ewa_decay else None


EVENT = NamedEvent("averaging", "an average of the weights (Pang et al. 2021)", _build, AveragingOptions)
