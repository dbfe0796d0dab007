# SPDX-License-Identifier: MIT
"""What the last step of a network is given: its features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn


class LastInputs:
    """What `catch_last_inputs` yields.

    Attributes:
        given: of each network (a model, or its `members`), what went into the last such module that it called in the
            last forward pass, with its graph; None where it called none.
    """

    def __init__(self, networks: int) -> None:
        self.given: list[Tensor | None] = [None] * networks


@contextmanager
def catch_last_inputs(
    model: nn.Module,
    kinds: type[nn.Module] | tuple[type[nn.Module], ...],
    wanted: Callable[[Tensor], bool] = lambda _: True,
) -> Iterator[LastInputs]:
    """Catches in the block what goes into modules of these kinds, each network's last one at every forward pass.

    Args:
        model: one network, or one whose `members` run side by side, as an ensemble's.
        wanted: which inputs count, called with the input.
    """
    members = getattr(model, "members", None)
    networks = list(members) if isinstance(members, nn.ModuleList) else [model]
    caught = LastInputs(len(networks))

    def keep(index: int, _: nn.Module, args: tuple[Any, ...]) -> None:
        if wanted(args[0]):
            caught.given[index] = args[0]

    handles = [
        module.register_forward_pre_hook(partial(keep, index))
        for index, network in enumerate(networks)
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()
