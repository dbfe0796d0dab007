# SPDX-License-Identifier: MIT
"""The co-state p, the loss gradient at the first layer's output, caught during an ordinary backward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .autocast_cache import autocast_cache
from .batch_statistics import Moments, StatisticsCatcher
from .compiled_regions import GUARDS_MISS_REQUIRES_GRAD, refuse_compilation, runs_compiled
from .first_layer import FirstLayer
from .inference_mode import out_of_inference_mode
from .module_sequence import Modules


class Costate:
    """What `capture_costate` and `cut_at_first_layer` yield; `value` is p once the backward pass is over.

    Attributes:
        beginning: the leaf that the graph begins at where nothing before it is in the graph, as at a cut. A backward
            pass to this input alone, ``loss.backward(inputs=[costate.beginning])``, finds p and no other gradient. None
            before the forward pass, and where the first layer is in the graph.
    """

    def __init__(self, module: nn.Module, catcher: StatisticsCatcher) -> None:
        self._name = type(module).__name__
        self._catcher = catcher
        self._calls = 0
        self._p: Tensor | None = None
        self.beginning: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """p, with the shape, dtype and memory format of the gradient at the first layer's output.

        It is the sum over the backward passes made inside the block.

        Raises:
            RuntimeError: the first layer was never called, or no gradient has arrived.
        """
        if self._p is None:
            raise RuntimeError(self._missing())
        return self._p

    @property
    def statistics(self) -> dict[nn.Module, Moments]:
        """What the first layer's batch norms normalised with in this pass, by module: mean and variance, (C,) each.

        For `FirstLayer.inner_ascent`. Only of those that used the statistics of the batch; empty, if the first layer is
        a `FirstLayer` whose `bn_statistics` is "batch".

        Raises:
            RuntimeError: one of them was never called, or inside a compiled region.
        """
        return self._catcher.statistics

    def _missing(self) -> str:
        if self._calls == 0:
            return (
                f"the first layer ({self._name}) was never called, so there is no co-state: either the model "
                "does not use this module (a slice of a Sequential is never called itself: pass its modules "
                "as a tuple), or it runs inside a compiled region (compile it and the rest separately)"
            )
        return (
            f"no gradient reached the output of the first layer ({self._name}): call backward inside the "
            "with block, on a loss that depends on it"
        )

    def _add(self, p: Tensor) -> None:
        self._p = p.detach() if self._p is None else self._p + p.detach()


class _OutputHook:
    """Forward hook of the first layer's last module: puts a tensor hook on the output of the only call."""

    only_observes = True

    def __init__(self, costate: Costate) -> None:
        self.costate = costate

    def __call__(self, module: nn.Module, args: tuple[object, ...], output: object) -> Tensor | None:
        refuse_compilation()
        self.costate._calls += 1
        name = type(module).__name__
        if self.costate._calls > 1:
            raise RuntimeError(_called_again(name))
        if not isinstance(output, Tensor):
            given = type(output).__name__
            raise RuntimeError(f"the first layer ({name}) returned a {given}, expected a Tensor")
        if not torch.is_grad_enabled():
            raise RuntimeError(
                f"the first layer ({name}) was called with gradients disabled (torch.no_grad, or reentrant "
                "activation checkpointing), so there is no co-state"
            )
        if output.requires_grad:
            output.register_hook(self.costate._add)
            return None
        # Nothing before this is in the graph (a frozen first layer, or a cut), so the graph may begin here.
        started, self.costate.beginning = begin_graph(output)
        started.register_hook(self.costate._add)
        return started


def _called_again(name: str) -> str:
    return (
        f"the first layer ({name}) was called again, so its co-state is ambiguous: call it once per block, give it "
        "modules that the model uses nowhere else, and keep it out of activation checkpointing and nn.DataParallel "
        "(torch.nn.parallel.DistributedDataParallel is what works)"
    )


def begin_graph(output: Tensor) -> tuple[Tensor, Tensor]:
    """The same values, without a copy, where a graph begins, and the leaf behind it: `torch.autograd.grad` to that leaf
    is the backward pass to here and no further. It finds nothing (allow_unused=True): hooks on the first one see p."""
    start = torch.empty((), device=output.device, requires_grad=True)
    return _GraphStart.apply(output.detach(), start), start


class _GraphStart(torch.autograd.Function):
    """Begins a graph at a tensor, without a copy. Unlike a leaf, the result may be changed in place."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        return output.detach()

    @staticmethod
    def backward(ctx: Any, p: Tensor) -> tuple[None, None]:
        return None, None


@contextmanager
def capture_costate(first_layer: Modules | FirstLayer) -> Iterator[Costate]:
    """Catch p = ∂L/∂f0 of the one forward and backward pass made inside the block::

        with capture_costate(model.conv1) as costate:
            criterion(model(x + eta), y).backward()
        p = costate.value

    Where the first layer has batch norm in training mode, `costate.statistics` are what it normalised with.

    The graph stays as it is, and an in-place activation after the layer does no harm. Under autocast p has
    the dtype of the layer's output. Inside `torch.inference_mode` the block leaves it (tensors made before in that mode
    have to be cloned, as autograd demands).

    Args:
        first_layer: a module, a sequence of modules that the model calls one after another (p is taken at the
            last one's output), or a `FirstLayer`.

    Raises:
        RuntimeError: the layer was never called, called again, called with gradients disabled or inside a
            compiled region, or no gradient reached its output.
        TypeError, ValueError: `first_layer` is no module or sequence of modules.
    """
    layer = FirstLayer(first_layer)
    last = layer.modules[-1]
    catcher = StatisticsCatcher(layer.modules if layer.bn_statistics == "frozen" else ())
    costate = Costate(last, catcher)
    handle = last.register_forward_hook(_OutputHook(costate))
    try:
        with catcher.watch(), out_of_inference_mode():
            yield costate
    finally:
        handle.remove()
    costate.value  # noqa: B018  raises where there is none


@contextmanager
def cut_at_first_layer(first_layer: Modules | FirstLayer, *, past: Tensor | None = None) -> Iterator[Costate]:
    """As `capture_costate`, with the graph cut at the first layer's output.

    The first layer runs without a graph, which saves its weight gradient and saved tensors; its parameters
    get no gradient from the pass, their `requires_grad` stays, and batch-norm statistics are updated as ever.

    Args:
        first_layer: as for `capture_costate`.
        past: a leaf whose gradient goes past the cut: the first layer then runs with a graph, its parameters frozen.

    Raises:
        RuntimeError: as `capture_costate`; also if the layer's input requires grad, for that gradient would
            be lost.
        TypeError, ValueError: as `capture_costate`.
    """
    layer = FirstLayer(first_layer)
    modules = layer.modules
    switch = _GradSwitch(modules) if past is None else _ParameterSwitch(modules, past)
    handles = []
    # What is compiled with frozen parameters would be gone on with.
    eager = past is not None and GUARDS_MISS_REQUIRES_GRAD and any(map(runs_compiled, modules))
    stance = torch.compiler.set_stance("force_eager") if eager else nullcontext()
    # Both are restored where a module raises between switching off and on.
    with stance, torch.set_grad_enabled(torch.is_grad_enabled()), autocast_cache(torch.is_autocast_cache_enabled()):
        try:
            for module in modules:
                handles.append(module.register_forward_pre_hook(switch.off))
                handles.append(module.register_forward_hook(switch.on))
            with capture_costate(layer) as costate:
                yield costate
        finally:
            switch.undo()
            for handle in handles:
                handle.remove()


class _Switch:
    """Hooks that do something while a module of the first layer runs."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._calls_left = Counter(modules)

    def _require_first_call(self, module: nn.Module) -> None:
        refuse_compilation()
        # Here already: a ReLU shared with a deeper layer would otherwise be blamed for its input.
        if self._calls_left[module] == 0:
            raise RuntimeError(_called_again(type(module).__name__))
        self._calls_left[module] -= 1

    def undo(self) -> None:
        """What a module that raised left switched."""


class _ParameterSwitch(_Switch):
    """Keeps a module's parameters out of the graph while it runs; the gradient of the leaf `past` goes through."""

    def __init__(self, modules: Sequence[nn.Module], past: Tensor) -> None:
        super().__init__(modules)
        self._past = past
        self._frozen: list[nn.Parameter] = []

    def off(self, module: nn.Module, args: tuple[object, ...]) -> None:
        self._require_first_call(module)
        if torch.is_grad_enabled() and any(leaf is not self._past for item in args for leaf in _leaves(item)):
            raise RuntimeError(_learnable_input(type(module).__name__))
        self._frozen = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def on(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        self.undo()

    def undo(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []

    off.only_observes = on.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules


def _leaves(item: object) -> Iterator[Tensor]:
    """What a backward pass from a tensor would give gradients to."""
    if not isinstance(item, Tensor) or not item.requires_grad:
        return
    if item.grad_fn is None:
        yield item
        return
    nodes, seen = [item.grad_fn], {item.grad_fn}
    while nodes:
        node = nodes.pop()
        if hasattr(node, "variable"):
            yield node.variable
        following = {child for child, _ in node.next_functions if child is not None} - seen
        seen |= following
        nodes.extend(following)


def _learnable_input(name: str) -> str:
    return (
        f"the input of the first layer ({name}) requires grad, and the cut would lose that gradient: pass a detached "
        "input, and let first_layer include what is learnable"
    )


class _GradSwitch(_Switch):
    """Disables gradients, and autocast's cache with them, while a module runs."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self._before: list[tuple[bool, bool]] = []

    def off(self, module: nn.Module, args: tuple[object, ...]) -> None:
        self._require_first_call(module)
        if torch.is_grad_enabled() and any(isinstance(item, Tensor) and item.requires_grad for item in args):
            raise RuntimeError(_learnable_input(type(module).__name__))
        self._before.append((torch.is_grad_enabled(), torch.is_autocast_cache_enabled()))
        torch.set_grad_enabled(False)
        torch.set_autocast_cache_enabled(False)

    def on(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        gradients, cache = self._before.pop()
        torch.set_grad_enabled(gradients)
        torch.set_autocast_cache_enabled(cache)

    off.only_observes = on.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules
