# SPDX-License-Identifier: MIT
"""`python docs/figures/first_layers_table.py`: docs/_first-layers.md, what `find_first_layer` finds in common networks.

Needs timm and torchvision, but for the rows of the networks that come with yopo_ext. Nothing is downloaded: weights
are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from catalogue_tables import table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yopo_ext import FoundFirstLayer, find_first_layer
from yopo_ext.models import build_model

PAGE = Path(__file__).resolve().parent.parent / "_first-layers.md"
IMAGES = 2
#: Of the libraries' networks, for ImageNet: classes, channels, pixels a side of the images that a first layer is looked
#: for on, and of those that multiply-adds are counted for.
LIBRARY = (1000, 3, 64, 224)
#: Networks that come with yopo_ext, each for the images of its data set.
OWN = {
    "digits-cnn": (10, 1, 8, 8), "mnist-cnn": (10, 1, 28, 28), "smallcnn": (10, 1, 28, 28),
    "preactresnet18": (10, 3, 32, 32), "preactresnet18-relu": (10, 3, 32, 32), "resnet18": (10, 3, 32, 32),
    "resnet18-relu": (10, 3, 32, 32), "resnet50": (10, 3, 32, 32), "wrn-28-10": (10, 3, 32, 32),
    "wrn-28-10-relu": (10, 3, 32, 32),
}  # fmt: skip
HEADER = ("network", "first layer", "", "runs through", "of the multiply-adds", "what n buys")
#: family -> its networks
FAMILIES = {
    "ResNet": ("torchvision:resnet18", "torchvision:resnet50", "timm:resnet18", "timm:resnet50", "timm:resnet50d"),
    "WideResNet": ("torchvision:wide_resnet50_2", "timm:wide_resnet50_2"),
    "ConvNeXt": ("torchvision:convnext_tiny", "timm:convnext_tiny"),
    "EfficientNet": ("torchvision:efficientnet_b0", "timm:efficientnet_b0", "timm:tf_efficientnet_b0"),
    "ViT": ("torchvision:vit_b_16", "timm:vit_base_patch16_224", "timm:vit_small_patch16_224"),
    "DenseNet": ("torchvision:densenet121", "timm:densenet121"),
    "VGG": ("torchvision:vgg11", "torchvision:vgg11_bn", "timm:vgg11", "timm:vgg11_bn"),
}
NAMES = (*OWN, *(name for names in FAMILIES.values() for name in names))


def row(name: str) -> tuple[str, ...]:
    """A network in training mode, its first layer, what it is, on which path, its share, and what n buys there."""
    torch.manual_seed(0)
    classes, channels, side, _ = OWN.get(name, LIBRARY)
    model = build_model(name, in_channels=channels, num_classes=classes, image_size=side)
    found = find_first_layer(model, torch.rand(IMAGES, channels, side, side))
    names = ", ".join(f"`{one}`" for one in found.names)
    kinds = ", ".join(type(module).__name__ for module in found.modules)
    return (
        f"`{name}`", f"{names} ({kinds})", "linear" if found.linear else "nonlinear",
        "kernels" if found.kernel else f"autograd: {found.reason}", f"{share(name, found.names):.2%}",
        what_n_buys(found),
    )  # fmt: skip


def what_n_buys(found: FoundFirstLayer) -> str:
    """In a few words."""
    return "a larger step, no more" if found.linear else "a new slope each step"


@torch.no_grad()
def share(name: str, first_layer: Sequence[str]) -> float:
    """The first layer's part of the network's multiply-adds, forward; nothing is computed."""
    classes, channels, _, side = OWN.get(name, LIBRARY)
    with torch.device("meta"):
        model = build_model(name, in_channels=channels, num_classes=classes, image_size=side).eval()
        image = torch.rand(1, channels, side, side)
        modules = nn.Sequential(*(model.get_submodule(one) for one in first_layer))
        return multiply_adds(modules, image) / multiply_adds(model, image)


def multiply_adds(module: nn.Module, image: Tensor) -> int:
    """Those of convolutions, matrix products and attention, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        module(image)
    return counter.get_total_flops() // 2


def lines(names: Sequence[str]) -> list[str]:
    """The table's lines of these networks, without its head."""
    return table(HEADER, map(row, names))[2:]


def page(names: Sequence[str] = NAMES) -> str:
    """The table, with the versions that it is of."""
    packages = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("torch", "torchvision", "timm"))
    text = f"{packages}; training mode; libraries' networks counted for {LIBRARY[-1]}×{LIBRARY[-1]} images."
    return "\n".join([*table(HEADER, map(row, names)), "", text, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
