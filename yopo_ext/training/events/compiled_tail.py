# SPDX-License-Identifier: MIT
"""torch.compile of what follows the first layer, and of the inner steps in one that reaches deeper."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...compiled_regions import GUARDS_MISS_REQUIRES_GRAD
from ...first_layer import FirstLayer
from ...models.divided_tail import divided_tail
from ...options import Options, option
from .event import Event, NamedEvent

if TYPE_CHECKING:
    from ..config import Config
    from ..loop.trainer import Trainer
    from ..runs.parts import Parts

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CompiledTailOptions(Options):
    """Whether it is."""

    compile: bool = option(False, "torch.compile what follows the first layer")


class CompiledTail(Event):
    """Stands in for a network's ``tail`` and runs it compiled while training.

    The first layer stays as it is: its co-state is the gradient at the compiled region's input, which compiled
    regions give, while the gradient of one compiled output with respect to another is what torch refuses. Measuring,
    with its own batch sizes and modes, goes on without compilation.

    Args:
        model: with a method ``tail``.
        first_layer: the run's, of the model's modules; where it reaches into the tail, those modules stay as they are
            too, and the model has to say of which layers its tail is made (``tail_layers``).

    Raises:
        ValueError: it does not, or the first layer ends inside of one of these layers' modules. With torch before 2.12
            also while training, where the tail is not one graph and passes want different weights' gradients.
    """

    name = "compiled_tail"
    order = 0

    def __init__(self, model: nn.Module, first_layer: Sequence[nn.Module] = ()) -> None:
        from torch._dynamo.exc import Unsupported  # the compiler, which a run without it does not import

        self._unsupported = Unsupported
        self._model = model
        self._eager: Function = model.tail  # type: ignore[assignment]
        self._before, self._rest = divided_tail(model, first_layer)
        self._regions: dict[tuple[tuple[bool, ...], torch.Size], Function] = {}
        self._training = False
        model.tail = self  # type: ignore[assignment]  # neither a module nor a tensor

    def __call__(self, x: Tensor) -> Tensor:
        if not self._training:
            return self._eager(x)
        for module in self._before:
            x = module(x)
        try:
            return self._compiled(x.shape)(x)
        except self._unsupported as reason:
            raise ValueError(
                "compile: what follows the first layer is not one graph, and before torch 2.12 its parts would not "
                "notice which pass wants the weights' gradients: expected a newer torch, or no compilation "
                f"({str(reason).splitlines()[0]})"
            ) from reason

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledTail:
        """Of a network that is copied, which is not compiled."""
        copied = copy.copy(self)
        copied._eager = copy.deepcopy(self._eager, memo)
        copied._training = False
        return copied

    def _compiled(self, shape: torch.Size) -> Function:
        """The region of passes of this shape that want these weights' gradients; torch may not tell the latter apart.

        Where it may not, regions have to be whole as soon as there are passes of two kinds: of parts, the functions
        inside are compiled by their own code.
        """
        trained = tuple(parameter.requires_grad for parameter in self._model.parameters())
        if (trained, shape) not in self._regions:
            differ = not any(trained) or any(other != trained for other, _ in self._regions)
            self._regions[trained, shape] = torch.compile(
                _alone(self._rest), dynamic=False, fullgraph=GUARDS_MISS_REQUIRES_GRAD and differ
            )
        return self._regions[trained, shape]

    def on_start(self, trainer: Trainer) -> None:
        trainer.units.on_copies = True

    def on_batches_start(self, trainer: Trainer) -> None:
        self._training = True

    def on_batches_end(self, trainer: Trainer) -> None:
        self._training = False


def _alone(function: Function) -> Function:
    """The function with code of its own, by which torch keeps what it compiled, up to its limit of shapes and kinds."""

    def region(x: Tensor) -> Tensor:
        return function(x)

    region.__code__ = region.__code__.replace()
    return region


def _build(options: CompiledTailOptions, parts: Parts) -> CompiledTail | None:
    if not options.compile:
        return None
    if not hasattr(parts.model, "tail"):
        name = parts.config.model.model
        raise ValueError(
            f"compile: got model {name}, which has no method tail, what follows its first layer, to compile"
        )
    crafting: Any = parts.crafting
    if isinstance(layer := getattr(crafting, "first_layer", None), FirstLayer):
        layer.compile_steps()
    modules = parts.ingredients.first_layer
    return CompiledTail(parts.model, (modules,) if isinstance(modules, nn.Module) else modules)


def _check(options: CompiledTailOptions, config: Config) -> None:
    if options.compile and config.model.first_layer is not None:
        raise ValueError(
            f"compile: got first_layer {config.model.first_layer!r}, expected none: what is compiled follows the "
            "network's own first layer"
        )


EVENT = NamedEvent("compiled_tail", "what follows the first layer, compiled", _build, CompiledTailOptions, check=_check)
