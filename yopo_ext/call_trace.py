# SPDX-License-Identifier: MIT
"""Which modules a network calls on what: one pass with hooks, after which the network is as it was before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

#: One state of a tensor: the object, and how often it had been written to.
Value = tuple[int, int]


@dataclass(eq=False)
class TracedCall:
    """One call of a module.

    Attributes:
        module, name: who was called.
        given: what it was called on; None where that is not one tensor alone.
        sees_images: whether that has the values of the network's own input.
        inside: the call that it was made in.
        returned: what it gave; None where that is no tensor.
        kind: the class of what it gave.
        node: of the autograd graph, where it gave a tensor, and which of the node's outputs that is.
    """

    module: nn.Module
    name: str
    given: Value | None
    sees_images: bool
    inside: TracedCall | None
    returned: Value | None = None
    kind: str = ""
    node: tuple[Node, int] | None = None

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__})"

    def is_within(self, other: TracedCall) -> bool:
        """Whether it was made in the other, at any depth."""
        inside = self.inside
        while inside is not None and inside is not other:
            inside = inside.inside
        return inside is other


@dataclass
class CallTrace:
    """One forward pass of a network, whose graph is still there.

    Attributes:
        images: (B, C, H, W), what it was given.
        given: that tensor as modules may see it.
        calls: of all its modules, itself left out, in the order in which they began.
    """

    images: Tensor
    given: Value
    calls: list[TracedCall]
    _leaf: Tensor
    _start: Node | None
    _loss: Tensor

    def gradients(self, calls: Sequence[TracedCall]) -> tuple[Tensor | None, list[Tensor | None]]:
        """∂L/∂images, and p at the output of each call; None where the loss does not depend on one.

        The loss is a random projection of the network's outputs.
        """
        found: list[Tensor | None] = [None] * len(calls)

        def keep(index: int, output: int) -> Callable[[tuple[Tensor | None, ...]], None]:
            def hook(grads: tuple[Tensor | None, ...]) -> None:
                found[index] = grads[output]

            return hook

        with ExitStack() as hooked:
            for index, call in enumerate(calls):
                if call.node is not None:
                    node, output = call.node
                    hooked.callback(node.register_prehook(keep(index, output)).remove)
            (gradient,) = torch.autograd.grad(self._loss, self._leaf, allow_unused=True, retain_graph=True)
        return gradient, found

    def followers(self, call: TracedCall | None) -> list[str]:
        """What is computed of a call's output, or of the images (None): names of autograd's nodes."""
        node = self._start if call is None else call.node and call.node[0]
        last: Any = self._loss.grad_fn
        names, nodes, seen = [], [last], {last}
        while nodes:
            one = nodes.pop()
            following = [child for child, _ in one.next_functions if child is not None]
            names += [one.name() for child in following if child is node]
            new = set(following) - seen
            seen |= new
            nodes += new
        return names


@contextmanager
def traced(model: nn.Module, x: Tensor) -> Iterator[CallTrace]:
    """Runs the network on x, in its own mode and without autocast.

    Its parameters, their `.grad`, buffers, hooks and the global random generators are as before after the block.

    Raises:
        ValueError: the outputs hold no tensor that depends on the images.
    """
    with torch.enable_grad(), _left_alone(model, x.device), torch.autocast(x.device.type, enabled=False):
        leaf = x.detach().requires_grad_()
        images = leaf.clone()  # a module that works in place changes this copy
        given, start = (id(images), images._version), images.grad_fn
        recorder = _Recorder(model, leaf.detach())
        with recorder.watching():
            outputs = [one for one in _tensors(model(images)) if one.requires_grad]
        if not outputs:
            raise ValueError("model: its outputs hold no tensor that depends on the images by a gradient")
        yield CallTrace(leaf.detach(), given, recorder.calls, leaf, start, _projection(outputs))


class _Recorder:
    """Hooks that write a trace, on all modules but the network itself, whose own hooks may call modules too."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.calls: list[TracedCall] = []
        self._names = {module: name for name, module in model.named_modules() if name}
        self._images = images
        self._open: list[TracedCall] = []
        self._kept: list[Tensor] = []  # so that no other tensor gets the identity of one of these

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooked while the block runs."""
        handles = []
        try:
            for module in self._names:
                handles.append(module.register_forward_pre_hook(self._begin, with_kwargs=True))
                handles.append(module.register_forward_hook(self._end))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, module: nn.Module, args: tuple[object, ...], options: dict[str, object]) -> None:
        given = args[0] if len(args) == 1 and not options and isinstance(args[0], Tensor) else None
        call = TracedCall(
            module, self._names[module], self._value(given), self._is_images(given),
            inside=self._open[-1] if self._open else None,
        )  # fmt: skip
        self.calls.append(call)
        self._open.append(call)

    def _end(self, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        call = self._open.pop()
        call.kind = type(output).__name__
        if isinstance(output, Tensor):
            call.returned = self._value(output)
            call.node = None if output.grad_fn is None else (output.grad_fn, output.output_nr)

    def _value(self, tensor: Tensor | None) -> Value | None:
        if tensor is None:
            return None
        self._kept.append(tensor)
        return id(tensor), tensor._version

    def _is_images(self, tensor: Tensor | None) -> bool:
        return tensor is not None and tensor.shape == self._images.shape and torch.equal(tensor, self._images)


@contextmanager
def _left_alone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers and random generators are put back after the block."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


def _tensors(outputs: object) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point():
            yield outputs
    elif isinstance(outputs, Mapping):
        yield from itertools.chain.from_iterable(map(_tensors, outputs.values()))
    elif isinstance(outputs, tuple | list):
        yield from itertools.chain.from_iterable(map(_tensors, outputs))
    elif hasattr(outputs, "logits"):
        yield from _tensors(outputs.logits)


def _projection(outputs: list[Tensor]) -> Tensor:
    """Σ r ⊙ outputs; r is random, so that nothing cancels, and the same at each call."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(one.shape, generator=generator).to(one) for one in outputs]
    return torch.stack([(one * weight).sum().float() for one, weight in zip(outputs, weights, strict=True)]).sum()
