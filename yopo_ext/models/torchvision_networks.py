# SPDX-License-Identifier: MIT
"""`torchvision:NAME`: torchvision's classifiers, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from .adopted import adopt, import_library, require_own_activation, unknown_name
from .network import Library, Network

#: Heads that are there for training alone and change what the network returns.
_WITHOUT_AUXILIARY = {"aux_logits": False, "init_weights": True}
_OPTIONS: dict[str, dict[str, Any]] = {"googlenet": _WITHOUT_AUXILIARY, "inception_v3": _WITHOUT_AUXILIARY}


def _network(name: str) -> Network:
    torchvision = import_library("torchvision")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name(torchvision, name, known)
    return Network(f"torchvision:{name}", partial(_build, name), f"torchvision's {name}", takes_size=True)


def _build(
    name: str,
    in_channels: int,
    num_classes: int,
    *,
    image_size: tuple[int, int] | None = None,
    activation: str = "relu",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    require_own_activation(f"torchvision:{name}", activation)
    if in_channels != 3:
        raise ValueError(
            f"model: torchvision:{name} takes 3 channels, these images have {in_channels}; networks of timm "
            "(timm:NAME) take any number"
        )
    options = {**_OPTIONS.get(name, {}), **_size_option(name, image_size)}
    network = import_library("torchvision").models.get_model(name, weights=None, num_classes=num_classes, **options)
    return adopt(
        network, f"torchvision:{name}", in_channels=in_channels, num_classes=num_classes, image_size=image_size,
        mean=mean, std=std,
    )  # fmt: skip


def _size_option(name: str, image_size: tuple[int, int] | None) -> dict[str, Any]:
    """How those that are built for one size are told it."""
    if image_size is None:
        return {}
    if name.startswith("maxvit"):
        return {"input_size": image_size}
    if not name.startswith("vit_"):
        return {}
    height, width = image_size
    patch = int(name.rpartition("_")[2])
    if height != width or height % patch:
        raise ValueError(
            f"model: torchvision:{name} takes square images of a multiple of {patch} pixels a side, these are "
            f"{height}x{width}"
        )
    return {"image_size": height}


LIBRARY = Library("torchvision", _network, "torchvision's classifiers: pip install 'yopo-ext[torchvision]'")
