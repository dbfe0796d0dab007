# SPDX-License-Identifier: MIT
"""The backends and the choice between them.

A backend is a module or another object with `can_run(call) -> str | None` (the reason why not), `inner_ascent(call) ->
Tensor`, `hamiltonian(call) -> Tensor`, `hamiltonian_gradients(call, wanted) -> tuple` and the bool `fuses_gradient`.

It may have a bool `steady`: whether what `can_run` says depends on shapes, dtypes, strides, device, options and
`environment` alone, so that it is not asked again about calls alike. Such a backend may have two functions more,
`prepare_inner_ascent(call) -> Ascent` and `prepare_hamiltonian_gradients(call, wanted) -> Gradients` (call.py). What
they return runs all calls like this one, keeps none of its tensors, and does nothing that autograd or autocast sees.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Protocol

from torch import Tensor

from .call import Call, HamiltonianCall, InnerAscentCall

#: By preference: the first that can run a call gets it.
ORDER = ("cuda", "triton", "cpu", "torch")


class Backend(Protocol):
    #: Whether `hamiltonian_gradients` is one fused pass, cheaper than the convolution library's backward: then `YOPO`
    #: takes the first layer's ordinary gradient from it too.
    fuses_gradient: bool

    def can_run(self, call: Call) -> str | None: ...
    def inner_ascent(self, call: InnerAscentCall) -> Tensor: ...
    def hamiltonian(self, call: HamiltonianCall) -> Tensor: ...
    def hamiltonian_gradients(
        self, call: HamiltonianCall, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """∂H/∂(weight, bias, u), None where not wanted."""
        ...


_loaded: dict[str, Backend] = {}
_registrations = 0


def get(name: str) -> Backend:
    backend = _loaded.get(name)
    if backend is None:
        backend = _loaded[name] = import_module(f"yopo_ext.backends.{name}_backend")
    return backend


def register(name: str, backend: Backend) -> None:
    """Makes a further backend selectable by name; it is never chosen by itself.

    Raises:
        TypeError: it has not all that a backend has.
    """
    parts = ("can_run", "inner_ascent", "hamiltonian", "hamiltonian_gradients", "fuses_gradient")
    if missing := [part for part in parts if not hasattr(backend, part)]:
        raise TypeError(f"backend: got a {type(backend).__name__} without {', '.join(missing)}, expected {parts}")
    global _registrations
    _loaded[name] = backend
    _registrations += 1


def registrations() -> int:
    """How many there have been: a choice made before the last one may be another now."""
    return _registrations


def environment() -> tuple[str | None, ...]:
    """The environment variables that a choice depends on."""
    return os.environ.get("YOPO_EXT_BACKEND"), os.environ.get("TRITON_INTERPRET")


def names() -> list[str]:
    return sorted({*ORDER, *_loaded}, key=lambda name: (name not in ORDER, name))


def requested(backend: str | None) -> str | None:
    """The backend asked for by argument, else by YOPO_EXT_BACKEND."""
    name = backend or os.environ.get("YOPO_EXT_BACKEND") or None
    if name is not None and name not in ORDER and name not in _loaded:
        source = "backend" if backend else "YOPO_EXT_BACKEND"
        raise ValueError(f"{source}: got {name!r}, expected one of {', '.join(map(repr, names()))}")
    return name


def select(call: Call, backend: str | None) -> Backend:
    """The backend asked for, or the first that can run the call.

    Raises:
        ValueError: an unknown backend.
        RuntimeError: a backend asked for that cannot run this call, with its reason.
    """
    name = requested(backend)
    if name is not None:
        chosen = get(name)
        if (reason := chosen.can_run(call)) is not None:
            raise RuntimeError(f"backend={name!r} cannot run this call: {reason}")
        return chosen
    for name in ORDER:
        chosen = get(name)
        if chosen.can_run(call) is None:
            return chosen
    raise AssertionError("the torch backend runs every call")


def select_for_all(call: Call, backend: str | None) -> Backend | None:
    """What `select` chooses for this call and all alike; None where they have to be asked about one by one."""
    name, chosen = requested(backend), select(call, backend)
    asked = [get(name)] if name is not None else [get(name) for name in ORDER]
    if name is None:
        asked = asked[: asked.index(chosen) + 1]
    return chosen if all(getattr(other, "steady", False) for other in asked) else None
