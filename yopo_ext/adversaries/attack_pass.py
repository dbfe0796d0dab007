# SPDX-License-Identifier: MIT
"""One pass of a gradient attack, and the step that it gives: the three ways in which the gradient is caught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import PerChannel
from ..compiled_regions import refuse_compilation
from ..costate import begin_graph
from ..first_layer import FirstLayer
from ..input_gradient import require_input_gradient
from ..loss_scale import watched
from ..projection import FeasibleSet


class Caught:
    """One pass at x + η and what it found, by autograd down to η.

    Attributes:
        images: what the model is to be given.
    """

    def __init__(self, feasible: FeasibleSet, eta: Tensor) -> None:
        self.feasible, self.eta = feasible, eta
        with torch.enable_grad():
            self._leaf = eta.detach().requires_grad_()
            self.images = feasible.x + self._leaf
        self._pulled: Tensor | None = None

    def pull(self, value: Tensor, *, keeps_graph: bool = False) -> None:
        """The backward pass, for the images alone: no parameter's gradient is made. Instead of `value.backward()`."""
        with torch.autocast(self.eta.device.type, enabled=False):
            # Not into the leaf's `.grad`, to which a later pass through a graph that was kept adds its own.
            self._pulled = torch.autograd.grad(value, self._leaf, retain_graph=keeps_graph)[0]

    @property
    def gradient(self) -> Tensor | None:
        """The gradient at the images, once the backward pass is over; None where it is not made."""
        return self._leaf.grad if self._pulled is None else self._pulled

    @torch.no_grad()
    def move(self, step_size: Tensor) -> Tensor:
        """η after the step, once the backward pass is over."""
        gradient: Any = self.gradient
        return self.feasible.step(self.eta.detach(), watched(gradient), step_size)


class CaughtCostate(Caught):
    """The same by the gradient at the first convolution's output, and its kernel.

    Args:
        cuts: whether the graph begins at that output, so that nothing before it gets a gradient.
    """

    def __init__(self, feasible: FeasibleSet, eta: Tensor, layer: FirstLayer, *, cuts: bool) -> None:
        self.feasible, self.eta = feasible, eta
        self._layer, self._cuts = layer, cuts
        self._calls = 0
        self._p: Tensor | None = None
        self._start: Tensor | None = None
        with torch.no_grad():
            self.images = feasible.x + eta

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The pass is made in this block.

        Raises:
            RuntimeError: the first convolution is called twice in it, unlike in the pass that was checked.
        """
        handle = self._layer.modules[-1].register_forward_hook(self._see)
        try:
            yield
        finally:
            handle.remove()

    @property
    def gradient(self) -> None:
        return None

    def pull(self, value: Tensor, *, keeps_graph: bool = False) -> None:
        if self._start is None:
            raise RuntimeError(f"{self._name} was not called with gradients in this pass, but in the first one")
        with torch.autocast(self.eta.device.type, enabled=False):
            torch.autograd.grad(value, self._start, retain_graph=keeps_graph, allow_unused=True)

    def move(self, step_size: Tensor) -> Tensor:
        if self._p is None:
            raise RuntimeError(f"no gradient reached the output of {self._name}, unlike in the first pass")
        return kernel_step(self._layer, self.feasible, self.eta, watched(self._p), step_size)

    @property
    def _name(self) -> str:
        return f"the first layer ({type(self._layer.modules[-1]).__name__})"

    def _see(self, module: nn.Module, args: tuple[object, ...], output: Any) -> Tensor | None:
        refuse_compilation()
        self._calls += 1
        if self._calls > 1:
            raise RuntimeError(f"{self._name} was called again in one pass, but once in the first one")
        if not torch.is_grad_enabled():
            return None
        if output.requires_grad and not self._cuts:
            output.register_hook(self._keep)
            return None
        started, self._start = begin_graph(output)
        started.register_hook(self._keep)
        return started

    def _keep(self, p: Tensor) -> None:
        self._p = p.detach()

    _see.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules


class Probe(Caught):
    """The same both ways: by autograd, and beside it the gradient at the first convolution's output.

    Attributes:
        by_kernel: whether the step is the kernel's, as where the two agree; autograd's before that is known.
    """

    def __init__(self, feasible: FeasibleSet, eta: Tensor, layer: FirstLayer) -> None:
        super().__init__(feasible, eta)
        self._layer = layer
        self._outputs = 0
        self._p: Tensor | None = None
        self.by_kernel = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """What the first convolution gives in the block is seen; nothing is changed, and nothing raises for it."""
        handle = self._layer.modules[-1].register_forward_hook(self._see)
        try:
            yield
        finally:
            handle.remove()

    def compare(self) -> bool:
        """Whether there was a gradient to compare.

        Raises:
            RuntimeError: the first convolution is not all that the images enter, or is called more than once.
        """
        gradient = self.gradient
        if self._outputs != 1 or (self._p is None and gradient is not None):
            name = type(self._layer.modules[-1]).__name__
            raise RuntimeError(
                f"the first layer ({name}) was called {self._outputs} times in one pass with gradients, expected once: "
                "a slice of a Sequential is never called itself, compiled regions and checkpointing hide or repeat it"
            )
        if self._p is None:
            return False
        return require_input_gradient(self._layer, self.images.detach(), self._p, gradient)

    @property
    def is_half(self) -> bool:
        """Whether the gradient at the first convolution's output is in half precision."""
        return self._p is not None and self._p.element_size() < 4

    def move(self, step_size: Tensor) -> Tensor:
        own = super().move(step_size)
        if self._p is None or not self.by_kernel:
            return own
        # Also here by the kernel, so that it makes no difference when the check is made, as after a run is resumed.
        return kernel_step(self._layer, self.feasible, self.eta, self._p, step_size)

    def _see(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        if torch.compiler.is_compiling():
            return
        self._outputs += 1
        if self._outputs == 1 and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self._keep)

    def _keep(self, p: Tensor) -> None:
        self._p = p.detach()

    _see.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules


def kernel_step(layer: FirstLayer, feasible: FeasibleSet, eta: Tensor, p: Tensor, step_size: Tensor) -> Tensor:
    """The step of a linear first layer along its adjoint of p, as `FeasibleSet.step` makes it."""
    bounds = None
    if feasible.low is not None and feasible.high is not None:
        bounds = (_values(feasible.low), _values(feasible.high))
    return layer.inner_ascent(
        feasible.x, eta, p, eps=_values(feasible.eps), alpha=_values(step_size), steps=1, bounds=bounds,
        norm=feasible.norm,
    )  # fmt: skip


def _values(one: Tensor) -> PerChannel:
    """(1, 1 or C, 1, 1) as the operators take it quickest: numbers, where reading them does not wait for a device."""
    flat = one.flatten()
    if flat.device.type != "cpu":
        return flat
    values: list[float] = flat.tolist()
    return values[0] if len(values) == 1 else values
