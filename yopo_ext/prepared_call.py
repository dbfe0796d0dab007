# SPDX-License-Identifier: MIT
"""Calls like one before: their options are not read, their shapes not checked and no backend is asked a second time.

What an operator does before its kernel takes longer than the kernel on small images. The first call of its kind goes
the ordinary way, through reading.py, torch.library and the choice of a backend. If it went well, and nothing but plain
tensors took part, what was found out is kept under the call's key (call_key.py), and calls alike go straight to the
backend. Tensors are never kept. What depends on more than the key is read at every call: the contents of tensors, also
of those that hold eps or mean, and by the backend the precision, the number of threads and the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from . import arguments, backends, operators, reading
from .arguments import ChannelValues
from .backends.call import Ascent, Call, Gradients, HamiltonianCall, InnerAscentCall, Layer
from .call_key import BUDGET, NORMALIZATION, Key, call_key, holds_tensor, is_plain, nobody_looks_on

Args = Sequence[Any]
Options = Mapping[str, Any]
Wanted = tuple[bool, bool, bool]

_ASCENT = {name: position for position, name in enumerate(("x", "eta", "p", "weight", "bias"))}
_HAMILTONIAN = {name: position for position, name in enumerate(("u", "p", "weight", "bias"))}

#: Kinds of calls to remember; beyond that it starts over.
LIMIT = 512
_ascents: dict[Key | None, _PreparedAscent] = {}
_gradients: dict[Key | None, _PreparedGradients] = {}


def inner_ascent(args: Args, options: Options) -> Tensor:
    """`yopo_ext.inner_ascent` outside of compiled code."""
    key = call_key(_ASCENT, args, options) if nobody_looks_on() else None
    if (prepared := _ascents.get(key)) is not None:
        return prepared.run(_tensors(_ASCENT, args, options), options)
    call, backend = reading.inner_ascent(*args, **options), options.get("backend")
    result = operators.run_inner_ascent(call, backend)
    if key is not None and _is_plain(call, call.eta):
        _keep(_ascents, key, _PreparedAscent(call, options))
    return result


def hamiltonian_gradients(
    args: Args, options: Options, need_input: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """`yopo_ext.ops.hamiltonian_gradients` outside of compiled code."""
    key = call_key(_HAMILTONIAN, args, options, need_input) if nobody_looks_on() else None
    if (prepared := _gradients.get(key)) is not None:
        return prepared.run(_tensors(_HAMILTONIAN, args, options), options)
    call, backend = reading.hamiltonian(*args, **options), options.get("backend")
    has_bias = call.layer.bias is not None
    grads = operators.run_hamiltonian_gradients(call, backend, [True, has_bias, need_input])
    if key is not None and _is_plain(call):
        _keep(_gradients, key, _PreparedGradients(call, options, (True, has_bias, need_input)))
    return grads[0], grads[1] if has_bias else None, grads[2] if need_input else None


def _keep(kept: dict[Key | None, Any], key: Key, prepared: object) -> None:
    if len(kept) >= LIMIT:
        kept.clear()
    kept[key] = prepared


def _tensors(names: Mapping[str, int], args: Args, options: Options) -> Args:
    if len(args) == len(names):
        return args
    return *args, *(options.get(name) for name, position in names.items() if position >= len(args))


def _is_plain(call: Call, *others: Tensor) -> bool:
    tensors = (call.images, call.p, call.layer.weight, call.layer.bias, *others)
    return all(tensor is None or is_plain(tensor) for tensor in tensors)


class _PreparedAscent:
    def __init__(self, call: InnerAscentCall, options: Options) -> None:
        self._normalization = _lasting(call.layer.normalization, options, NORMALIZATION)
        self._budget = _lasting(call.budget, options, BUDGET)
        self._run: Callable[..., Tensor] = _prepare_ascent(call, options.get("backend"))

    def run(self, tensors: Args, options: Options) -> Tensor:
        normalization, budget, x = self._normalization, self._budget, tensors[0]
        if normalization is None:
            normalization = _normalization(x, options)
        if budget is None:
            given = {name: options[name] for name in (*BUDGET, "norm") if name in options}
            budget = reading.budget(x, **given)
        return self._run(*tensors, normalization, budget)


class _PreparedGradients:
    def __init__(self, call: HamiltonianCall, options: Options, wanted: Wanted) -> None:
        self._normalization = _lasting(call.layer.normalization, options, NORMALIZATION)
        self._run: Callable[..., Any] = _prepare_gradients(call, options.get("backend"), wanted)

    def run(self, tensors: Args, options: Options) -> tuple[Tensor, Tensor | None, Tensor | None]:
        normalization = self._normalization
        if normalization is None:
            normalization = _normalization(tensors[0], options)
        return self._run(*tensors, normalization)


def _lasting(values: ChannelValues, options: Options, names: Sequence[str]) -> ChannelValues | None:
    """The values, or None where a tensor holds some of them, whose contents may change."""
    return None if any(holds_tensor(options.get(name)) for name in names) else values


def _normalization(images: Tensor, options: Options) -> ChannelValues:
    return arguments.normalization(options.get("mean"), options.get("std"), images.shape[1], images.device)


def _prepare_ascent(call: InnerAscentCall, asked_for: str | None) -> Ascent:
    chosen = backends.select_for_all(call, asked_for)
    if chosen is not None and hasattr(chosen, "prepare_inner_ascent"):
        return chosen.prepare_inner_ascent(call)
    shared, rest = _without_tensors(call.layer), call[5:]

    def ascend(
        x: Tensor, eta: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues,
        budget: ChannelValues,
    ) -> Tensor:  # fmt: skip
        layer = Layer(weight, bias, *shared, normalization)  # type: ignore[call-arg]
        alike = InnerAscentCall(x, eta, p, layer, budget, *rest)
        return operators.inner_ascent_by(chosen or backends.select(alike, asked_for), alike)

    return ascend


def _prepare_gradients(call: HamiltonianCall, asked_for: str | None, wanted: Wanted) -> Gradients:
    chosen = backends.select_for_all(call, asked_for)
    if chosen is not None and hasattr(chosen, "prepare_hamiltonian_gradients"):
        return chosen.prepare_hamiltonian_gradients(call, wanted)
    shared, precision = _without_tensors(call.layer), call.precision

    def gradients(
        u: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None, normalization: ChannelValues
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        alike = HamiltonianCall(u, p, Layer(weight, bias, *shared, normalization), precision)  # type: ignore[call-arg]
        return operators.hamiltonian_gradients_by(chosen or backends.select(alike, asked_for), alike, wanted)

    return gradients


def _without_tensors(layer: Layer) -> tuple[Any, ...]:
    return layer.stride, layer.padding, layer.dilation, layer.activation
