# SPDX-License-Identifier: MIT
"""The modules that a network's images go through one after another, until they branch or leave modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .activation import parse_activation
from .call_trace import CallTrace, TracedCall
from .layer_modules import is_normalization

# Names of autograd's nodes begin so where an activation was called as a function.
_ACTIVATIONS = ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "Softplus", "Tanh", "Sigmoid", "Hardswish")


@dataclass(frozen=True)
class Chain:
    """Modules, each called once, the output of one the input of the next, the first on the images.

    Attributes:
        calls: theirs: what has no parameters, the layer, [a batch norm,] [an activation].
        least: how many of them there are up to and with the layer, the first that has parameters.
        end: why it ends where it does.
    """

    calls: tuple[TracedCall, ...]
    least: int
    end: str


def find_chain(trace: CallTrace) -> Chain:
    """The longest chain of a pass.

    Raises:
        ValueError: the images do not go into a module that has parameters; says where they go.
    """
    calls: list[TracedCall] = []
    least = 0
    while True:
        call, end = _next_call(trace, calls[-1] if calls else None)
        if call is not None and least and not end:
            end = _not_after(calls[least - 1 :], call)
        if end or call is None:
            break
        calls.append(call)
        if not least and not is_normalization(call.module) and _has_parameters(call.module):
            least = len(calls)
    if not least:
        raise ValueError(f"model: got one without a first layer: {end}")
    return Chain(tuple(calls), least, end)


def is_activation(module: nn.Module) -> bool:
    """Whether the kernels know it."""
    try:
        parse_activation(module)
    except TypeError:
        return False
    return True


def _next_call(trace: CallTrace, last: TracedCall | None) -> tuple[TracedCall | None, str]:
    """The innermost module that alone is called on what the last one gave, or on the images; else why there is none."""
    what = "the images" if last is None else f"the output of {last}"
    candidates, call = readers(trace, last), None
    while candidates:
        outermost = outermost_of(candidates)
        if len(outermost) > 1:
            return None, several(outermost, what)
        call = outermost[0]
        candidates = [one for one in candidates if one.is_within(call)]
    if call is None:
        return None, no_module(trace, last, what)
    return call, _unfit(trace, call, what)


def outermost_of(calls: Sequence[TracedCall]) -> list[TracedCall]:
    """Those that are not made within another of them."""
    return [one for one in calls if not any(one.is_within(other) for other in calls)]


def several(calls: Sequence[TracedCall], what: str) -> str:
    """Why there is no next module where several are called side by side."""
    named = " and ".join(str(one) for one in calls[:3])
    return f"{named} are called on {what}; what all of it enters would have to be one module"


def readers(trace: CallTrace, last: TracedCall | None) -> list[TracedCall]:
    """All calls on what the last one gave, those that give it back unchanged left out."""
    if last is not None:
        later = trace.calls[trace.calls.index(last) + 1 :]
        return [one for one in later if one.given == last.returned != one.returned and not one.is_within(last)]
    same = [one for one in trace.calls if one.given == trace.given != one.returned]
    # Images of another memory format are another tensor.
    return same or [one for one in trace.calls if one.sees_images and one.given != one.returned]


def _unfit(trace: CallTrace, call: TracedCall, what: str) -> str:
    """Why a module cannot be taken; empty where it can."""
    if call.returned is None:
        return f"{call} returns a {call.kind}, not a tensor"
    if (times := sum(one.module is call.module for one in trace.calls)) > 1:
        return f"{call} is called {times} times; here it would need a module of its own"
    parts = [child for name, child in call.module.named_children() if name != "parametrizations"]  # torch's own
    if any(map(_has_parameters, parts)):
        return f"{call} does more with {what} than to hand it to one module (taken whole it goes through autograd)"
    return ""


def _not_after(layer: list[TracedCall], call: TracedCall) -> str:
    """Why a module cannot follow those of the layer so far; empty where it can."""
    if any(is_activation(one.module) for one in layer[1:]):
        return f"{call} follows the activation"
    may_be_norm = len(layer) == 1
    if is_activation(call.module) or (may_be_norm and isinstance(call.module, _BatchNorm)):
        return ""
    return f"{call} is {'no batch norm and ' if may_be_norm else ''}no activation that the kernels know"


def no_module(trace: CallTrace, last: TracedCall | None, what: str) -> str:
    """What the network does with `what` instead of giving it to a module."""
    names = trace.followers(last)
    computed = f" ({', '.join(names[:3])})" if names else ""
    if last is None:
        return (
            f"no module is called on the images: the network computes something of them first{computed}; as a module "
            "it could belong to the first layer, as yopo_ext.models.Normalize does"
        )
    if any(name.startswith(_ACTIVATIONS) for name in names):
        return f"{what} goes into an activation called as a function{computed}; as a module (nn.ReLU()) it would belong"
    return f"{what} goes into no module{computed}"


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())
