# SPDX-License-Identifier: MIT
"""The tilings that tune_triton.py tries, and the launches that a case becomes under each. Needs no GPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import torch

from yopo_ext import reading
from yopo_ext.backends.call import HamiltonianCall, InnerAscentCall
from yopo_ext.backends.triton_kernels import configurations, plan
from yopo_ext.backends.triton_kernels.configurations import Configuration
from yopo_ext.backends.triton_kernels.launch import Launch
from yopo_ext.benchmark.cases import CASES, Case

BY_NAME = {case.name: case for case in CASES}
#: Kernel of the table → the case it is tuned on.
KERNEL_CASES = {
    "linear": BY_NAME["cifar-linear"],
    "nonlinear": BY_NAME["cifar-relu"],
    "smooth": replace(BY_NAME["cifar-relu"], activation="gelu"),
    "weights": BY_NAME["cifar-relu"],
}


def candidates(precision: str, processors: int) -> Iterator[Configuration]:
    blocks = (16, 32, 64) if precision == "high" else (16, 32)
    for pixels, k_block, warps, stages, waves in itertools.product(
        (64, 128, 256), blocks, (4, 8), (1, 2, 3, 4), (1, 2, 4)
    ):
        yield Configuration(pixels, k_block, warps, stages, waves * processors)


def read(case: Case, precision: str, device: str) -> InnerAscentCall:
    t = case.tensors(device)
    return reading.inner_ascent(
        t["x"], t["eta"], t["p"], t["weight"], t["bias"], eps=case.eps, alpha=case.alpha, steps=case.steps,
        stride=case.stride, padding=case.padding, activation=case.activation, precision=precision,
    )  # fmt: skip


class Tilings:
    """A row of the table, as "linear high", on its case, for a compute capability."""

    def __init__(self, row: str, capability: int, device: str) -> None:
        self.row, self.capability = row, capability
        kernel, self.precision = row.split()
        self.current = configurations.configuration(kernel, self.precision, capability)
        self._plan = _planner(kernel, read(KERNEL_CASES[kernel], self.precision, device), capability)

    def launches(self, tiles: Configuration) -> list[Launch]:
        with patch.dict(configurations.table()[self.row], {self.capability: tiles}):
            return self._plan()

    def different(self, processors: int) -> Iterator[tuple[Configuration, list[Launch]]]:
        """The present tiling and the candidates, but only one of those that come to the same launches."""
        seen = set()
        for tiles in (self.current, *candidates(self.precision, processors)):
            launches = self.launches(tiles)
            same = tuple((launch.grid, launch.warps, launch.stages, launch.arguments.get("G")) for launch in launches)
            if same not in seen:
                seen.add(same)
                yield tiles, launches


def _planner(kernel: str, call: InnerAscentCall, capability: int) -> Callable[[], list[Launch]]:
    if kernel != "weights":
        out = torch.empty_like(call.eta)
        return lambda: plan.inner_ascent(call, out, capability)
    problem = HamiltonianCall(call.x, call.p, call.layer, call.precision)
    weight, bias = (torch.empty_like(t) for t in (call.layer.weight, call.layer.bias))
    return lambda: plan.weight_gradients(problem, weight, bias, capability)
