# SPDX-License-Identifier: MIT
"""What modules were read as, for as long as nothing about them changes but the contents of their tensors.

Reading a layer (layer_modules.py) asks its modules dozens of questions. A `KeptReading` asks whether their attributes
are still the same objects, which answers all of them, for the layers that this suffices for: [normalisation,] nn.Conv2d
[, batch norm] [, activation] of torch's own classes with plain parameters. Weight, bias, mean and std are taken anew at
every call, and a batch norm is folded into them at every call: a fold that was kept might be stale, as no counter tells
that a tensor's contents are the same (a write through `.data` or by a replayed CUDA graph leaves `_version` as it was).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from . import layer_modules
from .batch_statistics import BatchStatistics, uses_batch_statistics
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
        if self._kept is not None and self._kept.holds(modules):
            return self._kept.layer(statistics)
        return self._read(modules, statistics)

    def plain(self, modules: Sequence[nn.Module]) -> ConvolutionLayer | None:
        """The layer where a reading was kept and its only parameters are `weight` and `bias` themselves."""
        kept = None if torch.compiler.is_compiling() else self._kept
        if kept is None or kept.norm is not None or not kept.holds(modules):
            return None
        try:
            return kept.layer({})
        except NotAConvolutionLayer:  # its normalisation has become one that learns; `read` says so
            return None

    def detached(self, modules: Sequence[nn.Module]) -> ConvolutionLayer | None:
        """The layer where a reading was kept and it uses no statistics of the batch; nobody asks for a graph."""
        kept = None if torch.compiler.is_compiling() else self._kept
        if kept is None or kept.norm is None:
            return self.plain(modules)
        if uses_batch_statistics(kept.norm) or not kept.holds(modules):
            return None
        try:
            with torch.no_grad():
                return kept.layer({})
        except NotAConvolutionLayer:
            return None

    def _read(self, modules: Sequence[nn.Module], statistics: BatchStatistics) -> ConvolutionLayer:
        self._kept = None
        layer = layer_modules.read_layer(modules, statistics)
        self._kept = _keep(modules, layer)
        return layer


class _Kept:
    def __init__(
        self, modules: Sequence[nn.Module], watched: list[nn.Module], normalize: nn.Module | None, conv: nn.Conv2d,
        norm: _BatchNorm | None, layer: ConvolutionLayer,
    ) -> None:  # fmt: skip
        self._modules, self._watched = modules, [_Watched(module) for module in watched]
        self._parameters: dict[str, Any] = conv._parameters
        self._normalize, self.norm, self._dtype = normalize, norm, conv.weight.dtype
        self._options = {name: value for name, value in layer.options.items() if name not in ("mean", "std")}

    def holds(self, modules: Sequence[nn.Module]) -> bool:
        if modules is not self._modules:
            return False
        for watched in self._watched:
            if not watched.is_unchanged():
                return False
        return self._parameters["weight"].dtype == self._dtype

    def layer(self, statistics: BatchStatistics) -> ConvolutionLayer:
        options, weight, bias = self._options, self._parameters["weight"], self._parameters["bias"]
        if self._normalize is not None:
            options = {**options, **layer_modules.normalization_of(self._normalize)}
        if self.norm is not None:
            weight, bias = layer_modules.fold(self.norm, weight, bias, statistics)
        return ConvolutionLayer(weight, bias, options)


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
    if any(hasattr(module, "read_as_convolution") for module in modules):  # it reads several layers itself
        return None
    watched = [part for module in modules for part in _tree(module)]
    parts = [part for part in watched if part is unwrap_compiled(part) and not _does_nothing(part)]
    normalize = parts.pop(0) if "mean" in layer.options else None
    conv = parts[0]
    if type(modules) is not tuple or type(conv) is not nn.Conv2d or conv._buffers or not all(map(_is_plain, parts)):
        return None
    norm = parts[1] if len(parts) > 1 and isinstance(parts[1], _BatchNorm) else None
    return _Kept(modules, watched, normalize, conv, norm, layer)


def _tree(module: nn.Module) -> Iterator[nn.Module]:
    yield module
    if (inside := unwrap_compiled(module)) is not module:
        yield from _tree(inside)
    elif type(module) is nn.Sequential:
        for child in module:
            yield from _tree(child)


def _does_nothing(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.Identity) or isinstance(module, _DropoutNd)


def _is_plain(module: nn.Module) -> bool:
    """Whether its parameters are plain ones and its attributes cannot change without being replaced."""
    attributes = (value for name, value in vars(module).items() if not name.startswith("_"))
    parameters = module._parameters.values()
    return all(isinstance(value, _LITERALS) for value in attributes) and all(
        one is None or type(one) is nn.Parameter for one in parameters
    )
