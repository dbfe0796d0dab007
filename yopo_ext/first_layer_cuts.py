# SPDX-License-Identifier: MIT
"""First layers that reach deeper into a network: up to and with a module that is named, or all there are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .arguments import near
from .call_trace import CallTrace, TracedCall, traced
from .cut_chain import chain_to, spine
from .first_layer import FirstLayer
from .found_first_layer import FoundFirstLayer
from .inference_mode import outside_inference_mode
from .input_gradient import relative_error
from .prefix_check import adjoint_error, is_linear, tolerance
from .searched_network import searched


@outside_inference_mode
def find_cut(model: nn.Module, name: str, x: Tensor) -> FoundFirstLayer:
    """The network up to and with the module of that name, as YOPO may take it for f0::

        YOPO(model, find_cut(model, "layer1.0", x).modules, m=1, n=3)

    That part has to be a chain: modules that are each called once, the output of one the input of the next. A residual
    block is one such module; a module inside of it is no cut, for the images reach the loss past it. A cut may hold
    several batch norms. The network is run once, forward and backward, as `find_first_layer` does, and left as it was.

    Args:
        model: called as model(x).
        name: of the module in the network, as "layer1.0".
        x: images (B, C, H, W) of the kind that it is for, on its device; batch norm in training mode wants two or more.

    Raises:
        TypeError: x is no floating point tensor.
        ValueError: no module of that name; no chain leads there, the images reach the loss past it, or a module on the
            way draws at random, as dropout in training mode; says which cuts there are.
    """
    return searched(model, x, lambda network, images, root: _named(network, images, root, name.removeprefix(root)))


@outside_inference_mode
def find_cuts(model: nn.Module, x: Tensor) -> tuple[FoundFirstLayer, ...]:
    """All cuts of a network, from the first module that has parameters on: one after each module of its chain.

    The chain ends where the network branches, or computes something between modules.

    Args:
        model, x: as for `find_cut`.

    Returns:
        From the first layer to the deepest cut; empty where there is none.

    Raises:
        TypeError: x is no floating point tensor.
        ValueError: parameters that are not initialised yet; outputs that do not depend on the images.
    """
    return searched(model, x, _all)


def _named(network: nn.Module, x: Tensor, root: str, name: str) -> FoundFirstLayer | None:
    names = [known for known, _ in network.named_modules() if known]
    if name not in names:
        whose = f"the name of a module of {type(network).__name__}"
        raise ValueError(f"cut: got {name!r}, expected {whose}, as {near(name, names)}")
    with traced(network, x) as trace:
        try:
            calls = chain_to(trace, name)
        except ValueError as reason:
            raise ValueError(f"cut: no chain of modules leads to {name}: {reason}; {_others(trace)}") from None
        gradient, (p,) = trace.gradients(calls[-1:])
        error, refusal = _checked(trace, calls, p, gradient)
        if refusal:
            raise ValueError(f"cut: got {name}, {refusal}; {_others(trace)}")
        if error is None or p is None or gradient is None:
            return None
        linear = is_linear([call.module for call in calls], trace.images, p, gradient)
        return FoundFirstLayer.of(calls, root, linear=linear, end="the cut asked for", error=error)


def _all(network: nn.Module, x: Tensor, root: str) -> tuple[FoundFirstLayer, ...] | None:
    with traced(network, x) as trace:
        calls, end = spine(trace)
        gradient, ps = trace.gradients(calls)
        if gradient is None or not gradient.any():
            return None
        found = []
        for length, p in enumerate(ps, 1):
            chain = calls[:length]
            if not any(True for call in chain for _ in call.module.parameters()):
                continue
            error, refusal = _checked(trace, chain, p, gradient)
            if refusal or error is None or p is None:
                continue
            linear = is_linear([call.module for call in chain], trace.images, p, gradient)
            following = end if length == len(calls) else f"{calls[length]} follows"
            found.append(FoundFirstLayer.of(chain, root, linear=linear, end=following, error=error))
        return tuple(found)


def _checked(
    trace: CallTrace, calls: Sequence[TracedCall], p: Tensor | None, gradient: Tensor | None
) -> tuple[float | None, str]:
    """The relative error of the adjoint, None where there is nothing to compare; and why it is no cut."""
    layer = FirstLayer([call.module for call in calls])
    with torch.no_grad():
        if relative_error(*(layer.evaluate(trace.images) for _ in range(2))) not in (None, 0.0):
            return None, (
                "whose modules draw at random (dropout?), so that each inner step would be made in another network "
                "than the pass, expected a cut before them"
            )
    error = adjoint_error(layer, trace.images, p, gradient)
    if error is not None and error > tolerance(p):
        return error, (
            f"past which the images reach the outputs (a skip connection?): the adjoint of the modules up to it is not "
            f"the network's input gradient, relative error {error:.2g}"
        )
    return error, ""


def _others(trace: CallTrace) -> str:
    calls, _ = spine(trace)
    return f"its modules are a chain up to each of {', '.join(call.name for call in calls) or 'none'}"
