# SPDX-License-Identifier: MIT
"""Every contender of a case, timed in one run on the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch

import yopo_ext

from ..native import why_not_native
from .cases import CASES, Case
from .contenders import COMPETITORS, ours
from .floor import floor_seconds
from .timing import in_a_graph, quantile, seconds_on_cpu, seconds_on_gpu

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Timing:
    """Quantiles of the rounds, in milliseconds."""

    median: float
    q10: float
    q1: float
    q3: float
    q90: float
    rounds: int


@dataclass(frozen=True)
class Measurement:
    """One case.

    Attributes:
        case: what was measured.
        backend: ours: the one that is chosen where none is asked for.
        timings: by contender, ours first.
        failures: why a contender was not measured.
        floor: milliseconds of the least work (CPU: arithmetic and traffic at the measured rates; GPU: a copy of as
            many bytes), None where it cannot be measured.
    """

    case: Case
    backend: str
    timings: dict[str, Timing]
    failures: dict[str, str]
    floor: float | None


def choose_cases(names: Sequence[str] | None, quick: bool) -> list[Case]:
    """The cases of these names, or all; `quick`: of at most 4 images and 3 rounds, and named for that.

    Raises:
        ValueError: an unknown name.
    """
    known = {case.name: case for case in CASES}
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"unknown case {unknown[0]!r}; known: {', '.join(known)}")
    chosen = [known[name] for name in names or known]
    if not quick:
        return chosen
    return [replace(case, name=f"{case.name}-quick", batch=min(case.batch, 4), rounds=3) for case in chosen]


def check_device(device: str) -> None:
    """Raises ValueError for a device that is not measured or not there."""
    if device not in DEVICES:
        raise ValueError(f"device: got {device!r}, expected one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got 'cuda', but torch finds no GPU here")


def measure(case: Case, device: str, *, rounds: int | None = None, compiled: bool = True) -> Measurement:
    """Times our backends and the competitors.

    Args:
        case: see `CASES`.
        device: "cpu" or "cuda"; on "cuda" with a cold L2 cache, and all but the published loop in a CUDA graph as well.
        rounds: of each contender; None for the case's own (50 on a GPU).
        compiled: measure torch.compile too, which takes longest.

    Raises:
        ValueError: as `check_device`.
    """
    check_device(device)
    rounds = rounds or (50 if device == "cuda" else case.rounds)
    tensors = case.tensors(device)
    backend, makers, failures = _contenders(case, tensors, device, compiled)
    timings: dict[str, Timing] = {}
    for name, make in makers.items():
        try:
            timings[name] = _time(make(), rounds, device)
        except Exception as error:  # a contender that fails is a result too
            failures[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return Measurement(case, backend, timings, failures, _floor(case, device, rounds))


def _contenders(
    case: Case, tensors: dict[str, Any], device: str, compiled: bool
) -> tuple[str, dict[str, Callable[[], Callable[[], object]]], dict[str, str]]:
    """The chosen backend, makers by name, and the reasons of backends that decline."""
    explanation = yopo_ext.explain(**tensors, **case.options)
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        explanation.backend: lambda: ours(explanation.backend)(case, tensors)
    }
    failures = {}
    for name in explanation.others:
        try:
            yopo_ext.explain(**tensors, **case.options, backend=name)
        except RuntimeError as error:
            failures[name] = str(error)
        else:
            makers[name] = partial(ours(name), case, tensors)
    for name, competitor in COMPETITORS.items():
        if name != "compiled" or compiled:
            makers[name] = partial(competitor, case, tensors)
    if device == "cuda":
        makers |= {
            f"{name}-graph": partial(_captured, make)
            for name, make in makers.items()
            if name != "authors"  # whose autograd is not captured
        }
    return explanation.backend, makers, failures


def _captured(make: Callable[[], Callable[[], object]]) -> Callable[[], object]:
    return in_a_graph(make())


def _time(run: Callable[[], object], rounds: int, device: str) -> Timing:
    run()
    times = [1e3 * value for value in (seconds_on_gpu if device == "cuda" else seconds_on_cpu)(run, rounds)]
    q10, q1, q3, q90 = (quantile(times, fraction) for fraction in (0.1, 0.25, 0.75, 0.9))
    return Timing(median(times), q10, q1, q3, q90, rounds)


def _floor(case: Case, device: str, rounds: int) -> float | None:
    if device == "cpu":
        return None if why_not_native() else 1e3 * floor_seconds(case)
    source = torch.ones(int(case.bytes) // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 1e3 * median(seconds_on_gpu(in_a_graph(lambda: target.copy_(source)), rounds))
