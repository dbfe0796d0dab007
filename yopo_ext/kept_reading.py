# SPDX-License-Identifier: MIT
"""What modules were read as, for as long as nothing about them changes but the contents of their tensors.

Reading a layer (layer_modules.py) asks its modules dozens of questions. A `KeptReading` asks whether their attributes
are still the same objects, which answers all of them, for the layers that this suffices for: [normalisation,] nn.Conv2d
[, activation] of torch's own classes with plain parameters. Weight, bias, mean and std are taken anew at every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from . import layer_modules
from .batch_statistics import BatchStatistics
from .compiled_regions import unwrap_compiled
from .layer_modules import ConvolutionLayer, NotAConvolutionLayer

#: What cannot change without being replaced.
_LITERALS = (int, float, str, tuple, type(None))


class KeptReading:
    """The last reading of a first layer's modules. Copies, pickled or deep, begin without one."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def __reduce__(self) -> tuple[type[KeptReading], tuple[()]]:
        return KeptReading, ()

    def read(self, modules: Sequence[nn.Module], statistics: BatchStatistics) -> ConvolutionLayer:
        """As `layer_modules.read_layer`."""
        if torch.compiler.is_compiling():
            return layer_modules.read_layer(modules, statistics)
        return self.plain(modules) or self._read(modules, statistics)

    def plain(self, modules: Sequence[nn.Module]) -> ConvolutionLayer | None:
        """The layer where a reading was kept, whose only parameters are then `weight` and `bias` themselves."""
        kept = None if torch.compiler.is_compiling() else self._kept
        try:
            return kept.layer() if kept is not None and kept.holds(modules) else None
        except NotAConvolutionLayer:  # its normalisation has become one that learns; `read` says so
            return None

    def _read(self, modules: Sequence[nn.Module], statistics: BatchStatistics) -> ConvolutionLayer:
        self._kept = None
        layer = layer_modules.read_layer(modules, statistics)
        if type(layer.weight) is nn.Parameter:  # else it is computed
            self._kept = _keep(modules, layer)
        return layer


class _Kept:
    def __init__(
        self, modules: Sequence[nn.Module], watched: list[nn.Module], normalize: nn.Module | None, conv: nn.Conv2d,
        layer: ConvolutionLayer,
    ) -> None:  # fmt: skip
        self._modules, self._watched = modules, [_Watched(module) for module in watched]
        self._parameters: dict[str, Any] = conv._parameters
        self._normalize, self._dtype = normalize, layer.weight.dtype
        self._options = {name: value for name, value in layer.options.items() if name not in ("mean", "std")}

    def holds(self, modules: Sequence[nn.Module]) -> bool:
        if modules is not self._modules:
            return False
        for watched in self._watched:
            if not watched.is_unchanged():
                return False
        return self._parameters["weight"].dtype == self._dtype

    def layer(self) -> ConvolutionLayer:
        options = self._options
        if self._normalize is not None:
            options = {**options, **layer_modules.normalization_of(self._normalize)}
        return ConvolutionLayer(self._parameters["weight"], self._parameters["bias"], options)


class _Watched:
    """A module with its class and all attributes as they were.

    The dictionaries among these are the same ones, with the same children and names; no hook is in them.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module, self._kind, state = module, type(module), vars(module)
        self._held = *state.values(), *module.children()  # so that no other object gets one of their addresses
        self._attributes, self._contents = _attributes(state), _contents(state)
        self._hooks = tuple(state[name] for name in layer_modules.HOOKS)

    def is_unchanged(self) -> bool:
        state = self._module.__dict__
        return (
            type(self._module) is self._kind
            and _attributes(state) == self._attributes
            and _contents(state) == self._contents
            and not any(self._hooks)
        )


def _attributes(state: dict[str, object]) -> list[int]:
    return [*map(id, state.values())]


def _contents(state: dict[str, dict[str, object]]) -> list[object]:
    return [*state["_parameters"], None, *state["_buffers"], None, *map(id, state["_modules"].values())]


def _keep(modules: Sequence[nn.Module], layer: ConvolutionLayer) -> _Kept | None:
    """None where the modules may change unseen."""
    watched = [part for module in modules for part in _tree(module)]
    parts = [part for part in watched if part is unwrap_compiled(part) and not _does_nothing(part)]
    normalize = parts.pop(0) if "mean" in layer.options else None
    if type(modules) is not tuple or type(parts[0]) is not nn.Conv2d or parts[0]._buffers:
        return None
    if not all(map(_has_literals_alone, parts)):
        return None
    return _Kept(modules, watched, normalize, parts[0], layer)


def _tree(module: nn.Module) -> Iterator[nn.Module]:
    yield module
    if (inside := unwrap_compiled(module)) is not module:
        yield from _tree(inside)
    elif type(module) is nn.Sequential:
        for child in module:
            yield from _tree(child)


def _does_nothing(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.Identity) or isinstance(module, _DropoutNd)


def _has_literals_alone(module: nn.Module) -> bool:
    return all(isinstance(value, _LITERALS) for name, value in vars(module).items() if not name.startswith("_"))
