# SPDX-License-Identifier: MIT
"""How a network declares itself, and networks by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ..registry import Registry


@dataclass(frozen=True)
class Network:
    """A network that `yopo train --model NAME` builds.

    Attributes:
        name: as on the command line.
        build: called as build(in_channels, num_classes, activation=..., mean=..., std=...); what it returns has a
            property `first_layer`, the modules YOPO takes as f₀, and, to be compiled, a method `tail`, the rest.
        help: one line.
        image_size: pixels a side, None for any.
    """

    name: str
    build: Callable[..., nn.Module]
    help: str
    image_size: int | None = None


#: All networks by name; `…-relu`: the same network, with the same state-dict keys, and its activation after the first
#: convolution too, so that the first layer is nonlinear and YOPO's n inner steps carry information of their own.
MODELS: Registry[Network] = Registry("model", "yopo_ext.models", Network, "yopo_ext.models")


def with_nonlinear_twin(*networks: Network) -> tuple[Network, ...]:
    """Each network, then its twin ``NAME-relu`` with ``first_activation=True``."""
    twins = (
        replace(
            one, name=f"{one.name}-relu", build=partial(one.build, first_activation=True),
            help=one.help.replace("linear first layer", "activation in the first layer"),
        )
        for one in networks
    )  # fmt: skip
    return (*networks, *twins)


def build_model(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int | Sequence[int] | None = None,
    activation: str = "relu",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    """A freshly initialised network, with a ``first_layer`` property: the modules YOPO takes as f₀.

    ``image_size`` (pixels a side, or height and width), if given, is checked against what the network takes;
    ``activation`` is a name of `ACTIVATIONS`, used throughout the network. Raises ``ValueError`` for an unknown name or
    a size that does not fit.
    """
    network = MODELS[name]
    side = network.image_size
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size or (side, side)
    if side is not None and (height, width) != (side, side):
        raise ValueError(f"model {name!r} takes {side}x{side} images, these are {height}x{width}")
    return network.build(in_channels, num_classes, activation=activation, mean=mean, std=std)
