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
        build: called as build(in_channels, num_classes, activation=..., mean=..., std=...); what it returns may have a
            property `first_layer`, the modules YOPO takes as f₀ (without it they are looked for), and, to be
            compiled, a method `tail`, the rest.
        help: one line.
        image_size: pixels a side, None for any.
        takes_size: whether build is also given image_size=(height, width), or None.
    """

    name: str
    build: Callable[..., nn.Module]
    help: str
    image_size: int | None = None
    takes_size: bool = False


@dataclass(frozen=True)
class Library:
    """A package whose networks `yopo train --model LIBRARY:NAME` builds.

    Attributes:
        library: its name.
        network: called as network(name): that `Network`. Raises ``ValueError`` for a name that the package has not, and
            where the package is not there.
        help: one line.
    """

    library: str
    network: Callable[[str], Network]
    help: str

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.library}:NAME"


class Models(Registry[Network | Library]):
    """Networks by name, those of libraries as LIBRARY:NAME."""

    def __getitem__(self, name: str) -> Network:
        """The network of that name. Raises ``ValueError`` where there is none, or its library is not there."""
        library = self._library(name)
        if library is not None:
            return library.network(name.partition(":")[2])
        entry = super().__getitem__(name)
        assert isinstance(entry, Network)  # a library's own entry has a colon in its name
        return entry

    def __contains__(self, name: object) -> bool:
        """Whether there is a network, or the library of one, of that name; imports no library."""
        return super().__contains__(name) or (isinstance(name, str) and self._library(name) is not None)

    def _library(self, name: str) -> Library | None:
        entry = self.entries.get(f"{name.partition(':')[0]}:NAME") if ":" in name else None
        return entry if isinstance(entry, Library) else None


#: All networks by name; `…-relu`: the same network, with the same state-dict keys, and its activation after the first
#: convolution too, so that the first layer is nonlinear and YOPO's n inner steps carry information of their own.
MODELS = Models("model", "yopo_ext.models", (Network, Library), "yopo_ext.models")


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
    """A freshly initialised network; ours have a ``first_layer`` property: the modules YOPO takes as f₀.

    ``image_size`` (pixels a side, or height and width), if given, is checked against what the network takes;
    ``activation`` is a name of `ACTIVATIONS`, used throughout the network. Raises ``ValueError`` for an unknown name or
    a size that does not fit.
    """
    network = MODELS[name]
    side = network.image_size
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size or (side, side)
    if side is not None and (height, width) != (side, side):
        raise ValueError(f"model {name!r} takes {side}x{side} images, these are {height}x{width}")
    size = {"image_size": None if height is None else (height, width)} if network.takes_size else {}
    return network.build(in_channels, num_classes, activation=activation, mean=mean, std=std, **size)
