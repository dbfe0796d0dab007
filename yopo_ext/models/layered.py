# SPDX-License-Identifier: MIT
"""A network as YOPO sees it, its first layer and the rest, and layer by layer."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

#: What is called one after another on the output of the layer before; the last one is a module.
Layer = tuple[Callable[[Tensor], Tensor], ...]


class Layered(nn.Module):
    """What all networks here have in common: they are `tail` of `first_layer`.

    A subclass sets `normalize`, a module or None, and has `head`, `tail` and, if it can, `tail_layers`.
    """

    normalize: nn.Module | None

    @property
    def head(self) -> tuple[nn.Module, ...]:
        """The first layer without normalisation: convolution [, activation]."""
        raise NotImplementedError(f"{type(self).__name__}.head")

    @property
    def first_layer(self) -> tuple[nn.Module, ...]:
        """What YOPO takes as f₀: [normalise,] convolution [, activation]."""
        return self.head if self.normalize is None else (self.normalize, *self.head)

    @property
    def tail_layers(self) -> tuple[Layer, ...] | None:
        """`tail` as layers called one after another, each with parameters; None where it is none such."""
        return None

    @property
    def layers(self) -> tuple[Layer, ...] | None:
        """The network as layers called one after another, for what looks into each (`yopo_ext.maximum_principle`)."""
        return None if self.tail_layers is None else (self.first_layer, *self.tail_layers)

    @property
    def cuts(self) -> dict[str, tuple[nn.Module, ...]]:
        """First layers that YOPO may take instead, from `first_layer` on ever deeper, each named by its last module.

        A cut after each of `layers`, up to where what is called is no module (pooling, flatten): "conv1", "layer1.0",
        "layer1.1", … As the command line's ``--cut`` names them.
        """
        names = {module: name for name, module in self.named_modules()}
        found: dict[str, tuple[nn.Module, ...]] = {}
        modules: tuple[nn.Module, ...] = ()
        for layer in self.layers or (self.first_layer,):
            if not all(isinstance(one, nn.Module) for one in layer):
                break
            modules = (*modules, *(one for one in layer if isinstance(one, nn.Module)))
            found[names[modules[-1]]] = modules
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float images in [0, 1] to (B, num_classes) logits."""
        for part in self.first_layer:
            x = part(x)
        return self.tail(x)

    def tail(self, x: Tensor) -> Tensor:
        """What follows the first layer, as one function: it can be compiled apart from that."""
        raise NotImplementedError(f"{type(self).__name__}.tail")


def flatten(x: Tensor) -> Tensor:
    """(B, ...) to (B, N)."""
    return x.flatten(1)


def average(x: Tensor) -> Tensor:
    """(B, C, H, W) to the means over H and W, (B, C)."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)
