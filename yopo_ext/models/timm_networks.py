# SPDX-License-Identifier: MIT
"""`timm:NAME`: the networks of PyTorch Image Models (Wightman 2019), with random weights."""

from __future__ import annotations

from torch import nn

from .adopted import adopted_network, import_library, unknown_name
from .network import Library, Network


def _network(name: str) -> Network:
    timm = import_library("timm")
    if not timm.is_model(name):
        raise unknown_name(timm, name, timm.list_models())
    return adopted_network("timm", name, _create)


def _create(name: str, in_channels: int, num_classes: int, image_size: tuple[int, int] | None) -> nn.Module:
    timm = import_library("timm")
    options = {"in_chans": in_channels, "num_classes": num_classes}
    config = timm.get_pretrained_cfg(name)
    if image_size is not None and config is not None and config.fixed_input_size:
        try:
            return timm.create_model(name, pretrained=False, img_size=image_size, **options)
        except TypeError as error:  # some of a fixed size find it out from the images
            if "img_size" not in str(error):
                raise
        except (AssertionError, ValueError) as error:
            size = "x".join(map(str, image_size))
            raise ValueError(f"model: timm:{name} does not take images of {size}: {error}") from error
    return timm.create_model(name, pretrained=False, **options)


LIBRARY = Library("timm", _network, "those of timm, any number of channels: pip install 'yopo-ext[timm]'")
