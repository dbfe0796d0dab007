# SPDX-License-Identifier: MIT
"""`torchvision:NAME`: torchvision's classifiers, with random weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from .adopted import adopted_network, import_library, unknown_name
from .network import Library, Network

#: Heads that are there for training alone and change what the network returns.
_WITHOUT_AUXILIARY = {"aux_logits": False, "init_weights": True}
_OPTIONS: dict[str, dict[str, Any]] = {"googlenet": _WITHOUT_AUXILIARY, "inception_v3": _WITHOUT_AUXILIARY}


def _network(name: str) -> Network:
    torchvision = import_library("torchvision")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name(torchvision, name, known)
    return adopted_network("torchvision", name, _create)


def _create(name: str, in_channels: int, num_classes: int, image_size: tuple[int, int] | None) -> nn.Module:
    if in_channels != 3:
        raise ValueError(
            f"model: torchvision:{name} takes 3 channels, these images have {in_channels}; networks of timm "
            "(timm:NAME) take any number"
        )
    options = {**_OPTIONS.get(name, {}), **_size_option(name, image_size)}
    return import_library("torchvision").models.get_model(name, weights=None, num_classes=num_classes, **options)


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
