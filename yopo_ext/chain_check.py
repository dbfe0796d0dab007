# SPDX-License-Identifier: MIT
"""Whether a network is the composition of the parts of a chain, found out in one pass of the network itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .input_gradient import relative_error
from .layer_chain import Part

#: Relative error up to which a part's output is the network's own; both come from the same operations.
SAME = 1e-3


def followed(model: nn.Module, u: Tensor, parts: Sequence[Part]) -> tuple[list[Tensor], Any]:
    """The states x_0 … x_T of one pass at images u, u first, and what the model returned.

    Where gradients are enabled they flow to all states; no state is changed by what follows it.

    Raises:
        ValueError: the network is not the composition of its parts: names the first whose output differs, and by how
            much.
    """
    with _watched(parts) as states:
        outputs = model(u.clone())
    if len(states) < len(parts):
        index = len(states)
        raise ValueError(
            f"chain: part {index} ({parts[index].name}) was never called: the network does not use its last module, or "
            "it runs inside a compiled region"
        )
    _require_chain(parts, [u, *states], outputs)
    return [u, *states], outputs


@torch.no_grad()
def _require_chain(parts: Sequence[Part], states: Sequence[Tensor], outputs: Any) -> None:
    for index, part in enumerate(parts):
        where = f"chain: part {index} ({part.name})"
        expected = (
            "expected the network to be the composition of its parts: does it do something between them (flatten, "
            "an activation called as a function), or lead something past them (a skip connection)?"
        )
        try:
            found = part(states[index].detach())
        except (RuntimeError, TypeError, ValueError) as why:
            raise ValueError(f"{where} does not take what the network has before it: {why}; {expected}") from why
        if found.shape != states[index + 1].shape:
            given, own = tuple(found.shape), tuple(states[index + 1].shape)
            raise ValueError(f"{where} gives shape {given} where the network has {own}; {expected}")
        error = relative_error(found, states[index + 1].detach())
        if error is not None and error > SAME:
            raise ValueError(
                f"{where}: its output differs from the network's own, relative error {error:.2g}; {expected}"
            )
    if isinstance(outputs, Tensor):
        last = states[-1]
        error = relative_error(outputs.detach(), last.detach()) if outputs.shape == last.shape else 1.0
        if error is not None and error > SAME:
            raise ValueError(
                f"chain: the network's outputs, of shape {tuple(outputs.shape)}, are not those of its last part "
                f"({parts[-1].name}), of shape {tuple(last.shape)}: relative error {error:.2g}"
            )


@contextmanager
def _watched(parts: Sequence[Part]) -> Iterator[list[Tensor]]:
    """The outputs of the parts' last modules, in the order of their calls; what follows gets copies of them."""
    states: list[Tensor] = []

    def keep(index: int) -> Any:
        def hook(module: nn.Module, args: tuple[object, ...], output: object) -> Tensor:
            name = parts[index].name
            if not isinstance(output, Tensor):
                raise ValueError(f"chain: part {index} ({name}) returns a {type(output).__name__}, expected a tensor")
            if len(states) != index:
                raise ValueError(f"chain: part {index} ({name}) is called out of turn, or a second time")
            states.append(output)
            return output.clone()  # which an activation in place may change

        return hook

    handles = [part.last.register_forward_hook(keep(index)) for index, part in enumerate(parts)]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
