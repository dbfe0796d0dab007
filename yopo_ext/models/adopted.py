# SPDX-License-Identifier: MIT
"""Networks of other packages as ours: normalisation in front, checked on images before anybody trains them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .network import Network
from .normalize import optional_normalize

_SHOWN = 5

#: What networks raise where they do not take what they are given.
REFUSALS = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)


def import_library(package: str) -> ModuleType:
    """The package whose networks `package:NAME` are.

    Raises:
        ValueError: it cannot be imported; says why, and what to install.
    """
    try:
        return import_module(package)
    except (ImportError, OSError, RuntimeError) as error:  # torchvision beside another torch raises any of them
        install = f"pip install 'yopo-ext[{package}]'"
        raise ValueError(f"model: {package}:NAME needs the package {package}: {install} ({error})") from error


def unknown_name(package: ModuleType, name: str, known: Iterable[str]) -> ValueError:
    """What to raise for a name that the package does not have."""
    library = package.__name__
    near = ", ".join(f"{library}:{one}" for one in get_close_matches(name, list(known), _SHOWN))
    expected = f"one like {near}" if near else f"a name that {library}'s list_models() lists"
    return ValueError(
        f"model: got '{library}:{name}', which {library} {package.__version__} lacks; expected {expected}"
    )


#: From a network's name, channels, classes and the images' size, where that is known, to the library's own.
Create = Callable[[str, int, int, "tuple[int, int] | None"], nn.Module]


def adopted_network(library: str, name: str, create: Create) -> Network:
    """The declaration of `library:name`."""
    return Network(f"{library}:{name}", partial(_build, library, name, create), f"{library}'s {name}", takes_size=True)


def _build(
    library: str,
    name: str,
    create: Create,
    in_channels: int,
    num_classes: int,
    *,
    image_size: tuple[int, int] | None = None,
    activation: str = "relu",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    full = f"{library}:{name}"
    if activation != "relu":
        raise ValueError(f"activation: got {activation!r}, and {full} has its own; expected none with this network")
    network = create(name, in_channels, num_classes, image_size)
    return adopt(
        network, full, in_channels=in_channels, num_classes=num_classes, image_size=image_size, mean=mean, std=std
    )


def adopt(
    network: nn.Module,
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: tuple[int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> nn.Module:
    """The network itself, under its own state-dict keys, with an attribute `normalize` that its input goes through.

    Where ``image_size`` is known it is run once on such an image, in evaluation mode.

    Raises:
        ValueError: it is an nn.Sequential, has an attribute of that name, fails on such images, or returns no
            ``num_classes`` logits.
    """
    if isinstance(network, nn.Sequential):  # it would call it last
        raise ValueError(
            f"model: {name} is an nn.Sequential, which calls whatever is added to it; expected a class of its own"
        )
    if hasattr(network, "normalize"):
        raise ValueError(f"model: {name} has an attribute 'normalize' of its own, which is where ours would go")
    setattr(network, "normalize", optional_normalize(mean, std))  # noqa: B010  torch's types know modules alone
    network.register_forward_pre_hook(_normalise)
    if image_size is not None:
        _try(network, name, (1, in_channels, *image_size), num_classes)
    return network


def _normalise(network: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    normalize: Any = network.normalize
    if normalize is None:
        return None
    images, *others = args
    return (normalize(images), *others)


@torch.no_grad()
def _try(network: nn.Module, name: str, shape: tuple[int, ...], num_classes: int) -> None:
    size = "x".join(map(str, shape[1:]))
    network.eval()
    try:
        outputs = network(torch.zeros(shape))
    except REFUSALS as error:
        raise ValueError(f"model: {name} does not take images of {size}: {error}") from error
    finally:
        network.train()
    given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    if not isinstance(outputs, Tensor) or outputs.shape != (1, num_classes):
        raise ValueError(f"model: {name} returns {given} for an image of {size}, expected logits of (1, {num_classes})")
