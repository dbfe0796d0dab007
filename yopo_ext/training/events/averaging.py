# SPDX-License-Identifier: MIT
"""Exponential averaging of the weights (EWA), whose average is more robust than the last weights (Pang et al. 2021)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...options import Options, option
from .event import Event, NamedEvent, Record

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

#: refresh(average, trainer): gives the average's batch norms statistics of its own.
Refresh = Callable[[nn.Module, "Trainer"], None]

#: Mini-batches where none are given and averaged statistics would not be the average's: a first layer that descends ∂H
#: moves so far while it is averaged that the mean of its weights has a fraction of the variance that theirs had.
OF_ITS_OWN = 4

_MODULE, _UPDATES, _WARMUP = "module.", "n_averaged", "warmup"


@dataclass(frozen=True)
class AveragingOptions(Options):
    """Whether there is an average, how it starts, and what its batch norms normalise with."""

    ewa_decay: float = option(
        0.0, "measure an exponential average of the weights, as 0.999; 0: the last ones", least=0, below=1
    )
    ewa_warmup: bool = option(
        True,
        "the average starts short: its decay after t steps is at most (1 + t) / (10 + t); else it is the same always",
        beside="ewa_decay",
    )
    ewa_bn_batches: int | None = option(
        None,
        "recompute the average's batch norm on so many mini-batches of the method's after each epoch; 0: average it; "
        "where not given, 4 if the first layer descends ∂H, else 0",
        least=0,
        beside="ewa_decay",
    )


class Averaging(Event):
    """``average ← decay · average + (1 − decay) · model`` after each step, batch-norm statistics too.

    It starts at the weights after the first step, and is what is measured. A constant decay of 0.999 gives those first
    weights e⁻¹ of the average after a thousand steps, which short runs do not have: ``warmup`` takes the smaller of
    ``decay`` and (1 + t) / (10 + t) after t steps, so that the average is over about the last tenth of the steps until
    ``decay`` is reached. No step waits for the device.

    Args:
        model: the network in training.
        decay: from 0 to below 1.
        warmup: whether the decay starts small. A checkpoint goes on as it began.
        refresh: called after each epoch, gives the average's batch norms statistics of its own; None: they are
            averaged, as the weights.

    Attributes:
        measured_model: the average.
        updates: weight steps so far.
    """

    name = "averaging"
    order = 5

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = True, refresh: Refresh | None = None) -> None:
        self.average = self.measured_model = copy.deepcopy(model)
        self.decay, self.warmup, self.refresh = decay, warmup, refresh
        self.updates = 0

    @torch.no_grad()
    def on_weights(self, trainer: Trainer) -> None:
        pairs = list(zip(_tensors(self.average), _tensors(trainer.model), strict=True))
        # Whole lists at a time: a launch or two on a GPU, not one a tensor.
        averaged = [pair for pair in pairs if self.updates > 0 and _can_be_averaged(pair[0])]
        copied = [pair for pair in pairs if self.updates == 0 or not _can_be_averaged(pair[0])]
        if averaged:
            ours, theirs = map(list, zip(*averaged, strict=True))
            torch._foreach_lerp_(ours, theirs, 1.0 - self._decay_now())
        if copied:
            ours, theirs = map(list, zip(*copied, strict=True))
            torch._foreach_copy_(ours, theirs)
        self.updates += 1

    def on_epoch(self, trainer: Trainer, record: Record) -> None:
        if self.refresh is not None:
            self.refresh(self.average, trainer)

    def _decay_now(self) -> float:
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay

    def state_dict(self) -> dict[str, Any]:
        weights = {_MODULE + name: value for name, value in self.average.state_dict().items()}
        return {_UPDATES: torch.tensor(self.updates), _WARMUP: torch.tensor(self.warmup), **weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(averaged_weights(state))
        self.updates = int(state[_UPDATES])
        self.warmup = bool(state.get(_WARMUP, False))  # averages did not start short before there was a choice


def averaged_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The network's weights from the event's state."""
    return {name.removeprefix(_MODULE): value for name, value in state.items() if name.startswith(_MODULE)}


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*(parameter.detach() for parameter in model.parameters()), *model.buffers()]


def _can_be_averaged(tensor: Tensor) -> bool:
    """Counts cannot."""
    return tensor.is_floating_point() or tensor.is_complex()


def _build(options: AveragingOptions, parts: Parts) -> Averaging | None:
    if not options.ewa_decay:
        return None
    batches = options.ewa_bn_batches
    if batches is None:
        descends = getattr(parts.crafting, "first_layer_grad", "backprop") != "backprop"
        batches = OF_ITS_OWN if descends else 0
    refresh = parts.average_statistics(batches)
    return Averaging(parts.model, options.ewa_decay, warmup=options.ewa_warmup, refresh=refresh)


EVENT = NamedEvent("averaging", "an average of the weights (Pang et al. 2021)", _build, AveragingOptions)
