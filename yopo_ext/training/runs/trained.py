# SPDX-License-Identifier: MIT
"""What a run's checkpoint says of its settings and its network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...data import Dataset
from ..config import Config, change_config, config_from_dict, differences
from ..config.sections import BallOptions
from ..events.averaging import Averaging, averaged_weights
from ..events.going_back import step_scale_of
from ..files import CheckpointError, load_checkpoint
from .networks import make_model


def open_checkpoint(path: Path) -> tuple[Config, dict[str, Any]]:
    """The configuration and the state of a run's checkpoint, or of a run folder's last one, on the CPU.

    Raises:
        CheckpointError: naming the file: missing, corrupt, foreign, or without a valid configuration.
    """
    state = load_checkpoint(path)
    try:
        if state["config"] is None:
            raise ValueError("it has none: a Trainer wrote it that was given none")
        return config_from_dict(state["config"]), state
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its configuration is not valid ({error})") from error


def trained_ball(config: Config, state: dict[str, Any]) -> BallOptions:
    """The configuration's ball, with the step size that the run had come to: a restart makes it smaller."""
    return replace(config.ball, alpha=step_scale_of(state["events"]) * config.ball.alpha)


def measured_weights(state: dict[str, Any], *, last_weights: bool = False) -> dict[str, Tensor]:
    """The weights to measure: the average where the run kept one, unless its last weights are asked for."""
    average = state["events"].get(Averaging.name)
    return state["model"] if average is None or last_weights else averaged_weights(average)


def trained_network(config: Config, data: Dataset, state: dict[str, Any], *, last_weights: bool = False) -> nn.Module:
    """The configuration's network for these images, with the weights to measure, on the CPU."""
    model = make_model(config, data)
    model.load_state_dict(measured_weights(state, last_weights=last_weights))
    return model


def check_same_run(path: Path, config: Config) -> None:
    """Raises `CheckpointError` that lists the settings in which a checkpoint differs from ``config``.

    A run may go on for longer than it was begun for.
    """
    theirs, _ = open_checkpoint(path)
    epochs = max(theirs.loop.epochs, config.loop.epochs)
    if found := differences(config, change_config(theirs, epochs=epochs)):
        raise CheckpointError(f"{path}: of a run with other settings ({'; '.join(found)})")
