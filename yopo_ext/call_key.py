# SPDX-License-Identifier: MIT
"""When two calls of an operator are alike: in all that is read and checked, though not in the tensors' contents.

A key holds shapes, strides, dtypes, devices and options by value, never a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from . import backends
from .activation import Activation, parse_activation

Key = tuple[object, ...]

try:
    from torch._C import (
        DispatchKey,
        DispatchKeySet,
        _dispatch_keys,
        _dispatch_tls_local_include_set,
        _len_torch_function_stack,
    )

    _BELOW = DispatchKeySet(DispatchKey.BackendSelect)
    #: What a thread adds to every call when nothing looks on: ordinarily, and in inference mode.
    _NOBODY = {_BELOW.raw_repr(), (_BELOW | DispatchKeySet(DispatchKey.ADInplaceOrView)).raw_repr()}
except (ImportError, AttributeError):  # a torch that cannot be asked: then no two calls are alike
    _NOBODY = set()

#: Options that may hold tensors, whose values then belong to each call.
BUDGET, NORMALIZATION = ("eps", "alpha", "bounds"), ("mean", "std")
_VALUES = frozenset((*BUDGET, *NORMALIZATION))
#: Their values are told apart by type and equality.
_LITERALS = frozenset((int, bool, str, type(None)))


class _Unlike(Exception):
    """Something that no key describes."""


def nobody_looks_on() -> bool:
    """Whether the operators' own dispatch may be left out: no mode, tracer, transform or profiler wants to see it."""
    return (
        bool(_NOBODY)
        and _dispatch_tls_local_include_set().raw_repr() in _NOBODY
        and not _len_torch_function_stack()
        and not torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    )


def call_key(
    names: Mapping[str, int], args: Sequence[object], options: Mapping[str, object], wanted: bool = False
) -> Key | None:
    """The key of a call; None where it has none and goes the ordinary way, as does whatever is wrong with it.

    Args:
        names: the operator's tensor arguments, each with its position.
        args, options: as they were passed.
        wanted: what else tells calls apart.
    """
    parts: list[object] = [*backends.environment(), backends.registrations(), wanted, len(args)]
    try:
        for value in args:
            _add_tensor(parts, value)
        for name, value in options.items():
            parts.append(name)
            position = names.get(name)
            if position is None:
                _add_option(parts, name, value)
            elif position < len(args):
                return None
            else:
                _add_tensor(parts, value)
    except (_Unlike, RuntimeError):  # torch's own: a sparse tensor has no strides
        return None
    return tuple(parts)


def _add_tensor(parts: list[object], value: object) -> None:
    if value is None:
        parts.append(None)
        return
    if type(value) is not Tensor and type(value) is not nn.Parameter:
        raise _Unlike
    parts += (value.shape, value.stride(), value.dtype, value.device, _dispatch_keys(value).raw_repr())


def _add_option(parts: list[object], name: str, value: Any) -> None:
    kind = type(value)
    parts.append(kind)
    if kind in _LITERALS:
        parts.append(value)
    elif kind is float:
        parts.append(value if value else str(value))  # 0.0 == -0.0
    elif kind is tuple or kind is list:
        parts.append(len(value))
        for item in value:
            _add_option(parts, name, item)
    elif kind is Tensor or kind is nn.Parameter:
        if name not in _VALUES:
            raise _Unlike
        _add_tensor(parts, value)
    elif kind is Activation:
        parts.append((value.kind, *map(str, value.parameters)))
    else:
        parts.append(_of_module(name, value))


def _of_module(name: str, value: object) -> object:
    """An activation module's parameters may change between calls, so they are read for each."""
    if name != "activation" or not isinstance(value, nn.Module):
        raise _Unlike
    try:
        return str(parse_activation(value))
    except TypeError:
        raise _Unlike from None


def is_plain(tensor: Tensor) -> bool:
    """Whether it is a tensor in memory and nothing else: no lazy negation, no wrapper of a transform."""
    return _dispatch_keys(tensor).raw_repr() in _plain_keys(tensor.device.type)


@cache
def _plain_keys(device_type: str) -> set[int]:
    plain = set()
    for inference in (False, True):
        with torch.inference_mode(inference):
            plain.add(_dispatch_keys(torch.empty(0, device=device_type)).raw_repr())
    return plain


def holds_tensor(value: object) -> bool:
    """Whether it is a tensor, or a sequence with one in it."""
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(holds_tensor, value)))
