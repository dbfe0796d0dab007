# SPDX-License-Identifier: MIT
"""`pytest bench --benchmark-only`: every case, our backends and the competitors in one run on the same tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import yopo_ext
from yopo_ext.benchmark.cases import CASES, Case
from yopo_ext.benchmark.contenders import COMPETITORS, OURS, authors_loop


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    return request.param


@pytest.fixture(scope="module")
def tensors(case):
    return case.tensors("cpu")


def skip_if_declined(case: Case, tensors: dict[str, torch.Tensor], contender: str) -> None:
    if contender == "triton":
        explanation = yopo_ext.explain(**tensors, **case.options, backend="torch")
        if (reason := explanation.others["triton"]) and "was not asked for" not in reason:
            pytest.skip(reason)


@pytest.mark.parametrize("contender", [*OURS, *COMPETITORS])
def test_inner_ascent(benchmark, case, tensors, contender):
    skip_if_declined(case, tensors, contender)
    run = {**OURS, **COMPETITORS}[contender](case, tensors)
    benchmark.group = case.name
    benchmark.extra_info.update(case=case.name, contender=contender, flops=case.flops, bytes=case.bytes)
    eta = benchmark.pedantic(run, rounds=case.rounds, warmup_rounds=1)
    assert torch.isfinite(eta).all()
    assert eta.abs().max() <= case.eps + 1e-6


@pytest.mark.parametrize("contender", [*OURS, "lean", "compiled"])
def test_everybody_computes_the_same_step(case, tensors, contender):
    """After a flip trajectories part, so one step is compared: all but the signs of the smallest gradients agree."""
    skip_if_declined(case, tensors, contender)
    one_step = replace(case, steps=1)
    expected = authors_loop(one_step, tensors)()
    eta = {**OURS, **COMPETITORS}[contender](one_step, tensors)()
    assert ((eta - expected).abs() > 1e-5).float().mean() < 1e-3
