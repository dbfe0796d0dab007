# SPDX-License-Identifier: MIT
"""The modules that lead from a network's images to a cut, at whatever depth: blocks are taken whole."""

from __future__ import annotations

from collections.abc import Iterator

from .call_trace import CallTrace, TracedCall
from .first_layer_chain import no_module, outermost_of, readers, several


def spine(trace: CallTrace) -> tuple[list[TracedCall], str]:
    """The modules called one after another from the images on, and why there is no further one.

    A module whose own modules are such a chain from its input to its output, as a stage is of its blocks, stands for
    these; one that leads something past them, as a residual block does, is taken whole.
    """
    calls: list[TracedCall] = []
    while True:
        last = calls[-1] if calls else None
        call, end = _next(trace, last, "")
        if call is None:
            return calls, end
        calls += _unfolded(trace, call)


def chain_to(trace: CallTrace, name: str) -> list[TracedCall]:
    """The modules called one after another from the images on, up to and with the one of that name.

    Raises:
        ValueError: they do not lead there; says where they end.
    """
    calls: list[TracedCall] = []
    while not calls or calls[-1].name != name:
        call, end = _next(trace, calls[-1] if calls else None, name)
        if call is None:
            raise ValueError(end)
        calls += [call] if call.name == name else _unfolded(trace, call)
    return calls


def _next(trace: CallTrace, last: TracedCall | None, target: str) -> tuple[TracedCall | None, str]:
    """The outermost module that alone is called on what the last one gave and does not hold the target inside it."""
    what = "the images" if last is None else f"the output of {last}"
    candidates = readers(trace, last)
    while candidates:
        outermost = outermost_of(candidates)
        if len(outermost) > 1:
            return None, several(outermost, what)
        call = outermost[0]
        if not target.startswith(f"{call.name}."):
            return (call, "") if not (unfit := _unfit(trace, call)) else (None, unfit)
        candidates = [one for one in candidates if one.is_within(call)]
    return None, no_module(trace, last, what)


def _unfit(trace: CallTrace, call: TracedCall) -> str:
    if call.returned is None:
        return f"{call} returns a {call.kind}, not a tensor"
    if (times := sum(one.module is call.module for one in trace.calls)) > 1:
        return f"{call} is called {times} times; here it would need a module of its own"
    return ""


def _unfolded(trace: CallTrace, call: TracedCall) -> list[TracedCall]:
    """The chain of modules that the call is, or the call itself."""
    inside = [one for one in trace.calls if one.is_within(call) and one.given != one.returned]
    found: list[TracedCall] = []
    value = call.given
    while value is not None and value != call.returned:
        following = outermost_of([one for one in inside if one.given == value and one not in found])
        if len(following) != 1 or _unfit(trace, following[0]):
            return [call]
        found.append(following[0])
        value = following[0].returned
    return list(_all_unfolded(trace, found)) if found else [call]


def _all_unfolded(trace: CallTrace, calls: list[TracedCall]) -> Iterator[TracedCall]:
    for one in calls:
        yield from _unfolded(trace, one)
