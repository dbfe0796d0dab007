# SPDX-License-Identifier: MIT
"""The backends and the choice between them.

A backend is a module or another object with `can_run(call) -> str | None` (the reason why not), `inner_ascent(call) ->
Tensor`, `hamiltonian(call) -> Tensor`, `hamiltonian_gradients(call, wanted) -> tuple` and the bool `fuses_gradient`.
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
    _loaded[name] = backend


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
