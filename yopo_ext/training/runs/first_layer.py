# SPDX-License-Identifier: MIT
"""From a configuration to its network's first layer: its own, one that is found, one that is named, or up to a cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ...arguments import near
from ...data import Dataset, to_float
from ...first_layer import FirstLayer
from ...first_layer_cuts import find_cut
from ...first_layer_search import find_first_layer
from ...found_first_layer import FoundFirstLayer
from ..config import Config

AUTO = "auto"
# Images that it is looked for on.
_IMAGES = 8


def choose_first_layer(
    config: Config, model: nn.Module, data: Dataset
) -> tuple[tuple[nn.Module, ...], FoundFirstLayer | None]:
    """The modules, and what was found where they were looked for, or lead to a cut.

    ``model`` is on the images' device, in the mode that it is trained in, and stays as it is. Without modules where
    none are found and neither the method nor the schedule wants any.

    Raises:
        ValueError: names that the network lacks, a cut that is none, or none are found.
    """
    asked = config.model.first_layer
    own: Any = getattr(model, "first_layer", None)
    if config.model.cut is not None:
        found = find_cut(model, config.model.cut, _some_images(model, data))
        return found.modules, found
    if asked is None and own is not None:
        return FirstLayer(own).modules, None
    if asked is not None and asked != AUTO:
        return _named(config.model.model, model, asked.split(",")), None
    try:
        found = find_first_layer(model, _some_images(model, data))
    except ValueError as error:
        if config.declared_method.in_first_layer or config.get("first_layer_milestones") is not None:
            raise ValueError(f"first_layer: {error}") from error
        return (), None
    return found.modules, found


def _some_images(model: nn.Module, data: Dataset) -> Tensor:
    return to_float(data.train.images[:_IMAGES].to(next(model.parameters()).device))


def _named(network: str, model: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    modules = dict(model.named_modules())
    del modules[""]
    for name in names:
        if name not in modules:
            whose = f"{AUTO} or names of modules of {network}"
            raise ValueError(f"first_layer: got {name!r}, expected {whose}, as {near(name, list(modules))}")
    # What --mean and --std put in front is always part of it.
    in_front = [name for name in ("normalize",) if name in modules and name not in names]
    return tuple(modules[name] for name in (*in_front, *names))
