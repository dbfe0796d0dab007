# SPDX-License-Identifier: MIT
"""`pytest bench --benchmark-only`: every case, our backends and the competitors in one run on the same tensors.

On a GPU where there is one, or where `--device` says: there a round begins with a cold L2 cache, and its time includes
the launch; `yopo bench --device cuda` times by the device's own clock.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import yopo_ext
from yopo_ext.benchmark.cases import CASES, Case
from yopo_ext.benchmark.contenders import COMPETITORS, OURS, Run, authors_loop
from yopo_ext.benchmark.timing import CACHE_BYTES, in_a_graph

ALL = {**OURS, **COMPETITORS}
# The authors' autograd is not captured.
GRAPHS = [f"{name}-graph" for name in ALL if name != "authors"] if torch.cuda.is_available() else []


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    return request.param


@pytest.fixture(scope="module")
def tensors(case, device):
    return case.tensors(device)


def make(contender: str, case: Case, tensors: dict[str, torch.Tensor]) -> Run:
    """Skips where the backend declines, with its reason."""
    name = contender.removesuffix("-graph")
    if name in OURS:
        try:
            yopo_ext.explain(**tensors, **case.options, backend=name)
        except RuntimeError as error:
            pytest.skip(str(error))
    run = ALL[name](case, tensors)
    return in_a_graph(run) if contender in GRAPHS else run


def timed_on_gpu(benchmark, run: Run, rounds: int) -> torch.Tensor | None:
    flush = torch.empty(CACHE_BYTES, dtype=torch.uint8, device="cuda")

    def cold() -> None:
        flush.zero_()
        torch.cuda.synchronize()

    def finished() -> torch.Tensor:
        eta = run()
        torch.cuda.synchronize()
        return eta

    return benchmark.pedantic(finished, setup=cold, rounds=max(rounds, 30), warmup_rounds=3)


@pytest.mark.parametrize("contender", [*ALL, *GRAPHS])
def test_inner_ascent(benchmark, case, tensors, device, contender):
    if contender in GRAPHS and device == "cpu":
        pytest.skip("there are no graphs on a CPU")
    run = make(contender, case, tensors)
    benchmark.group = case.name
    benchmark.extra_info.update(case=case.name, contender=contender, flops=case.flops, bytes=case.bytes)
    if device == "cuda":
        eta = timed_on_gpu(benchmark, run, case.rounds)
    else:
        eta = benchmark.pedantic(run, rounds=case.rounds, warmup_rounds=1)
    if contender in GRAPHS:  # replaying one returns nothing
        return
    assert torch.isfinite(eta).all()
    assert eta.abs().max() <= case.eps + 1e-6


@pytest.mark.parametrize("contender", [*OURS, "lean", "compiled"])
def test_everybody_computes_the_same_step(case, tensors, contender):
    """After a flip trajectories part, so one step is compared: all but the signs of the smallest gradients agree."""
    one_step = replace(case, steps=1)
    eta = make(contender, one_step, tensors)()
    expected = authors_loop(one_step, tensors)()
    assert ((eta - expected).abs() > 1e-5).float().mean() < 1e-3
