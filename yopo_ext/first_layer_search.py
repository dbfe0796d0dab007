# SPDX-License-Identifier: MIT
"""Finds what YOPO may take as a network's first layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from .call_trace import traced
from .compiled_regions import unwrap_compiled
from .first_layer import FirstLayer
from .first_layer_chain import Chain, find_chain
from .found_first_layer import FoundFirstLayer
from .inference_mode import outside_inference_mode
from .input_gradient import HALF_TOLERANCE, TOLERANCE, input_gradient_error
from .layer_modules import FOLDED, NotAConvolutionLayer, read_layer

#: Of a parameter's root mean square: how far it is moved where the network's own gradient is zero.
_MOVED = 0.1
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@outside_inference_mode
def find_first_layer(model: nn.Module, x: Tensor) -> FoundFirstLayer:
    """The longest prefix of a network's modules that YOPO may take as f0 and that the kernels take.

    A prefix is [normalisation,] convolution [, batch norm] [, activation], of modules that are each called once, the
    output of one the input of the next. It counts where its adjoint applied to p is the network's input gradient, as in
    the check of YOPO's first batch, so that nothing else reads the images. A batch norm in training mode belongs to it.
    Where there is no prefix that the kernels take, it is the longest that goes through autograd: another first module
    with parameters, or a convolution that they do not know.

    The network is run once, forward and backward, in its own mode, and left as it was: modes, parameters, `.grad`,
    running statistics, hooks, global random generators.

    Args:
        model: called as model(x).
        x: images (B, C, H, W) of the kind that it is for, on its device; batch norm in training mode wants two or more.

    Returns:
        Its `modules` are what `YOPO` takes as `first_layer`; printed, it says what it is and why it ends there.

    Raises:
        TypeError: x is no floating point tensor.
        ValueError: there is none; says what the network does with the images instead. Also for parameters that are not
            initialised yet.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: got {kind}, expected floating point images")
    wrapped = isinstance(model, _WRAPPERS)
    inner: Any = model.module if wrapped else model
    network = unwrap_compiled(inner)
    if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
        raise ValueError("model: got parameters that are not initialised yet: run it on some images first")
    prefix = _search(network, x)
    if prefix is None:  # nothing to compare: a last layer that starts at zero, for one
        with _moved(network):
            prefix = _search(network, x)
    if prefix is None:
        raise ValueError("model: its outputs do not depend on the images, so that no first layer can be checked")
    return prefix.report("module." if wrapped else "")


@dataclass(frozen=True)
class _Prefix:
    """The first `length` modules of a chain, which pass the check."""

    chain: Chain
    length: int
    linear: bool
    end: str
    error: float

    def report(self, root: str) -> FoundFirstLayer:
        calls = self.chain.calls[: self.length]
        modules = tuple(call.module for call in calls)
        reason = FirstLayer(modules).explain().reason
        names = tuple(root + call.name for call in calls)
        return FoundFirstLayer(modules, names, self.linear, not reason, reason, self.end, self.error)


def _search(model: nn.Module, x: Tensor) -> _Prefix | None:
    """None where there is no gradient to compare. Raises ``ValueError`` where no prefix passes."""
    with traced(model, x) as trace:
        chain = find_chain(trace)
        gradient: Any
        gradient, ps = trace.gradients(chain.calls)
        modules = [call.module for call in chain.calls]
        lengths = range(len(modules), chain.least - 1, -1)
        declined = {length: _declined(modules[:length]) for length in lengths}
        errors: dict[int, float] = {}
        for length in sorted(lengths, key=lambda length: bool(declined[length])):
            layer = FirstLayer(modules[:length])
            p: Any = ps[length - 1]
            error = _error(layer, trace.images, p, gradient)
            if p is not None and gradient is not None and error is not None and error <= _tolerance(p):
                end = _end(chain, length, errors, declined)
                return _Prefix(chain, length, _is_linear(chain, length, trace.images, p, gradient), end, error)
            if error is not None:
                errors[length] = error
    if errors:
        raise ValueError(_other_ways(chain, errors))
    return None


def _declined(modules: Sequence[nn.Module]) -> str:
    """Why the kernels would not take them; empty where they do, or would but for the statistics of a batch norm."""
    try:
        read_layer(modules)
    except NotAConvolutionLayer as reason:
        others = [module for module in modules if type(module) not in FOLDED]
        return _declined(others) if len(others) < len(modules) else str(reason)
    return ""


def _error(layer: FirstLayer, u: Tensor, p: Tensor | None, gradient: Tensor | None) -> float | None:
    if p is None:  # the network goes on without this output
        return None if gradient is None or not gradient.any() else 1.0
    return input_gradient_error(layer, u, p, gradient, p.dtype if p.element_size() < 4 else None)


def _tolerance(p: Tensor | None) -> float:
    return TOLERANCE if p is None or p.element_size() >= 4 else HALF_TOLERANCE


def _is_linear(chain: Chain, length: int, u: Tensor, p: Tensor, gradient: Tensor) -> bool:
    """By its parts where the kernels know them; else whether the adjoint is the same at other images."""
    modules = [call.module for call in chain.calls[:length]]
    if not _declined(modules):
        return not chain.activated(length)
    other = torch.rand(u.shape, generator=torch.Generator().manual_seed(1)).to(u)
    error = _error(FirstLayer(modules), other, p, gradient)
    return error is not None and error <= _tolerance(p)


def _end(chain: Chain, length: int, errors: dict[int, float], declined: dict[int, str]) -> str:
    """Why the first so many modules are not one more."""
    if length == len(chain.calls):
        return chain.end
    following = chain.calls[length]
    if length + 1 in errors:
        last = chain.calls[length - 1]
        return f"not only {following} reads the output of {last} (with it, relative error {errors[length + 1]:.2g})"
    return f"the kernels do not take {following}: {declined[length + 1]}"


def _other_ways(chain: Chain, errors: dict[int, float]) -> str:
    tried = "; ".join(
        f"{','.join(call.name for call in chain.calls[:length])}: relative error {error:.2g}"
        for length, error in errors.items()
    )
    return (
        f"model: got one without a first layer: the adjoint of none is the network's input gradient ({tried}), so the "
        "images reach the outputs past it too (a skip connection from the input, an ensemble) or the network computes "
        "something in between; make one module of all that they enter"
    )


@contextmanager
def _moved(model: nn.Module) -> Iterator[None]:
    """Every parameter a little elsewhere while the block runs."""
    generator = torch.Generator().manual_seed(0)
    before = [(parameter, parameter.detach().clone()) for parameter in model.parameters()]
    try:
        with torch.no_grad():
            for parameter, value in before:
                size = value.float().square().mean().sqrt().item() or 1.0
                noise = torch.randn(value.shape, generator=generator).to(value)
                parameter.add_(noise, alpha=_MOVED * size)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before:
                parameter.copy_(value)
