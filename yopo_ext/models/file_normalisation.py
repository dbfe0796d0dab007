# SPDX-License-Identifier: MIT
"""The normalisation that a file of weights brings along, as ``mu`` and ``sigma``, ``normalize.mean`` and ``….std``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .normalize import Normalize
from .weight_files import WeightsError

_PAIRS = {"mean": "std", "mu": "sigma", "new_mean": "new_std"}
# Published figures are rounded: 0.4914 and 0.49139968.
_SAME = 1e-3


@dataclass(frozen=True)
class FileNormalisation:
    """(x − mean)/std for images in [0, 1], one value a channel; keys: where the file holds them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    keys: tuple[str, ...]

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"mean ({mean}) and std ({std})"


def find_normalisation(path: Path, state: Mapping[str, Tensor], model: nn.Module) -> FileNormalisation | None:
    """The normalisation among the keys of ``state``, which the network lacks; None where there is none.

    Raises `WeightsError` where several differ, or where one is not for images in [0, 1].
    """
    channels = next((module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    found: FileNormalisation | None = None
    for key, mean in state.items():
        parent, dot, last = key.rpartition(".")
        other = parent + dot + _PAIRS.get(last, "")
        if last not in _PAIRS or other not in state:
            continue
        values = [tensor.flatten().double() for tensor in (mean, state[other])]
        if channels is None or any(len(value) not in (1, channels) for value in values):
            continue
        mean, std = (value.expand(channels) for value in values)
        one = FileNormalisation(tuple(mean.tolist()), tuple(std.tolist()), (key, other))
        if not (bool((std > 0).all()) and bool((mean.abs() <= 1).all()) and bool((std <= 1).all())):
            raise WeightsError(
                f"{path}: {key} and {other} are {one}, no normalisation of images in [0, 1]: give it in these units "
                f"(--mean, --std) and leave the file's out (--ignore-keys {' '.join(one.keys)}, ignore=)"
            )
        if found is not None and not _same(found, one):
            raise WeightsError(f"{path}: holds two normalisations, {found} in {found.keys[0]} and {one} in {key}")
        found = one if found is None else FileNormalisation(found.mean, found.std, (*found.keys, *one.keys))
    return found


def check_place(path: Path, found: FileNormalisation, model: nn.Module) -> bool:
    """Whether the network still has to be given it; False where it normalises just so.

    Raises `WeightsError` where the network normalises otherwise, or has no place for it.
    """
    own = next((module for module in model.modules() if isinstance(module, Normalize)), None)
    ignore = f"(--ignore-keys {' '.join(found.keys)}, ignore=)"
    if own is not None:
        given = FileNormalisation(tuple(own.mean.tolist()), tuple(own.std.tolist()), ())
        if not _same(given, found):
            raise WeightsError(
                f"{path}: normalises with {found}, the network with {given}: leave that out (--mean, --std), or the "
                f"file's {ignore}"
            )
        return False
    if getattr(model, "normalize", model) is not None:
        raise WeightsError(
            f"{path}: normalises with {found}, and the network has no attribute 'normalize' for that: put "
            f"yopo_ext.models.Normalize before it, and leave the file's out {ignore}"
        )
    return True


def _same(one: FileNormalisation, other: FileNormalisation) -> bool:
    pairs = ((one.mean, other.mean), (one.std, other.std))
    return all(
        len(a) == len(b) and torch.allclose(torch.tensor(a), torch.tensor(b), rtol=0, atol=_SAME) for a, b in pairs
    )
