# SPDX-License-Identifier: MIT
"""A network as a chain of parts f_0 … f_{T-1}, each of which can be evaluated apart from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .arguments import near
from .model_wrappers import unwrapped

Function = Callable[[Tensor], Tensor]
#: Parts, each a module or a sequence of modules and functions that ends in a module; or their names: "a+b,c".
ChainLike = str | Sequence[nn.Module | Sequence[Function]]

#: Words that stand for functions between a network's modules, where the chain is given by names.
FUNCTIONS: dict[str, Function] = {"flatten": lambda x: x.flatten(1)}


@dataclass(frozen=True, eq=False)
class Part:
    """One f_t: functions called one after another, of which the last is a module.

    Attributes:
        name: in the network, of its first module that has parameters.
        functions: in the order of their calls.
    """

    name: str
    functions: tuple[Function, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """f_t(x), by the modules themselves; x is not changed where one works in place."""
        x = x.clone()
        for function in self.functions:
            x = function(x)
        return x

    @property
    def last(self) -> nn.Module:
        """The module whose output is f_t's."""
        module: Any = self.functions[-1]  # `chain_of` has looked
        return module

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """Those of its functions that are modules."""
        return tuple(function for function in self.functions if isinstance(function, nn.Module))

    def parameters(self) -> Iterator[nn.Parameter]:
        """θ_t: the parameters that require grad, each once."""
        found = {id(one): one for module in self.modules for one in module.parameters() if one.requires_grad}
        yield from found.values()


def chain_of(model: nn.Module, chain: ChainLike | None = None) -> tuple[Part, ...]:
    """The network's parts. That it is their composition is found out on images (`yopo_ext.chain_check`).

    Args:
        model: of which the parts are modules.
        chain: parts, each a module or a sequence of modules and functions that ends in a module; or the names of
            modules in the network, parts separated by commas, modules of one part by plus signs, where "flatten" stands
            for that function: "conv1+bn1+relu,layer1.0,layer1.1,avgpool+flatten+fc". None: the network's own `layers`,
            as ours have it, or the modules of an `nn.Sequential`, cut before each that has parameters.

    Raises:
        TypeError: what is no module or function, or a part that does not end in a module.
        ValueError: none is known, a name that the network lacks, a module of another network or in two parts.
    """
    network = unwrapped(model)
    if isinstance(chain, str):
        parts = _named(network, chain)
    elif chain is not None:
        parts = [tuple(part) if isinstance(part, Sequence) else (part,) for part in chain]
    else:
        parts = _own(network)
    names = {module: name for name, module in network.named_modules()}
    _require_parts(parts, names)
    return tuple(Part(_name(part, names), part) for part in parts)


def _own(network: nn.Module) -> list[tuple[Function, ...]]:
    own = getattr(network, "layers", None)
    if isinstance(own, tuple):
        return list(own)
    if not isinstance(network, nn.Sequential):
        raise ValueError(
            f"chain: got none, and {type(network).__name__} does not say what it is made of (an attribute layers, a "
            "tuple of tuples of modules): pass the modules that it calls one after another, or their names, as "
            "conv1+bn1+relu,layer1,layer2,avgpool+flatten+fc"
        )
    parts: list[tuple[Function, ...]] = []
    for module in network:
        begins = any(True for _ in module.parameters()) and any(map(_has_parameters, parts[-1:]))
        parts = [*parts, (module,)] if begins or not parts else [*parts[:-1], (*parts[-1], module)]
    return parts


def _has_parameters(part: tuple[Function, ...]) -> bool:
    return any(True for one in part if isinstance(one, nn.Module) for _ in one.parameters())


def _named(network: nn.Module, text: str) -> list[tuple[Function, ...]]:
    known: dict[str, Any] = {**FUNCTIONS, **dict(network.named_modules())}
    known.pop("", None)
    parts = [part.split("+") for part in text.split(",")]
    for name in (name for part in parts for name in part):
        if name not in known:
            whose = f"names of modules of {type(network).__name__}"
            raise ValueError(f"chain: got {name!r}, expected {whose}, as {near(name, list(known))}")
    if isinstance(getattr(network, "normalize", None), nn.Module) and parts[0][0] != "normalize":
        parts[0].insert(0, "normalize")  # what --mean and --std put in front is always part of it
    return [tuple(known[name] for name in part) for part in parts]


def _require_parts(parts: Sequence[tuple[Any, ...]], names: dict[nn.Module, str]) -> None:
    seen: set[nn.Module] = set()
    for index, part in enumerate(parts):
        if not part or not isinstance(part[-1], nn.Module):
            given = type(part[-1]).__name__ if part else "nothing"
            raise TypeError(f"chain: part {index} ends in {given}, expected a module, whose output is looked at")
        for one in part:
            if not callable(one):
                raise TypeError(f"chain: part {index} has a {type(one).__name__}, expected modules and functions")
            if not isinstance(one, nn.Module):
                continue
            if one not in names:
                raise ValueError(f"chain: part {index} has a {type(one).__name__} that is no module of the network")
            if one in seen:
                raise ValueError(f"chain: {names[one]} is in it twice, expected each module once")
            seen.add(one)
    if not parts:
        raise ValueError("chain: got no parts, expected at least one")


def _name(part: tuple[Any, ...], names: dict[nn.Module, str]) -> str:
    modules = [one for one in part if isinstance(one, nn.Module)]
    with_parameters = [one for one in modules if any(True for _ in one.parameters())]
    return names[(with_parameters or modules)[0]] or type(part[-1]).__name__
