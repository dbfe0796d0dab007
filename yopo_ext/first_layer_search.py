# SPDX-License-Identifier: MIT
"""Finds what YOPO may take as a network's first layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .call_trace import traced
from .first_layer import FirstLayer
from .first_layer_chain import Chain, find_chain
from .found_first_layer import FoundFirstLayer
from .inference_mode import outside_inference_mode
from .prefix_check import adjoint_error, declined, is_linear, tolerance
from .searched_network import searched


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
    return searched(model, x, _search)


def _search(model: nn.Module, x: Tensor, root: str) -> FoundFirstLayer | None:
    """None where there is no gradient to compare. Raises ``ValueError`` where no prefix passes."""
    with traced(model, x) as trace:
        chain = find_chain(trace)
        gradient: Any
        gradient, ps = trace.gradients(chain.calls)
        modules = [call.module for call in chain.calls]
        lengths = range(len(modules), chain.least - 1, -1)
        reasons = {length: declined(modules[:length]) for length in lengths}
        errors: dict[int, float] = {}
        for length in sorted(lengths, key=lambda length: bool(reasons[length])):
            layer = FirstLayer(modules[:length])
            p: Any = ps[length - 1]
            error = adjoint_error(layer, trace.images, p, gradient)
            if p is not None and gradient is not None and error is not None and error <= tolerance(p):
                end = _end(chain, length, errors, reasons)
                linear = is_linear(modules[:length], trace.images, p, gradient)
                return FoundFirstLayer.of(chain.calls[:length], root, linear=linear, end=end, error=error)
            if error is not None:
                errors[length] = error
    if errors:
        raise ValueError(_other_ways(chain, errors))
    return None


def _end(chain: Chain, length: int, errors: dict[int, float], reasons: dict[int, str]) -> str:
    """Why the first so many modules are not one more."""
    if length == len(chain.calls):
        return chain.end
    following = chain.calls[length]
    if length + 1 in errors:
        last = chain.calls[length - 1]
        return f"not only {following} reads the output of {last} (with it, relative error {errors[length + 1]:.2g})"
    return f"the kernels do not take {following}: {reasons[length + 1]}"


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
