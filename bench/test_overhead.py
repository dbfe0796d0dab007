# SPDX-License-Identifier: MIT
"""What a call costs before its kernel: on tensors so small that the kernel is nothing, beside a convolution of torch.

Prints each as so many times a `F.conv2d` of the same tensors in the same run: rounds alternate, and the least counts.

    pytest bench/test_overhead.py -s
    python bench/test_overhead.py OUT.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import yopo_ext
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.ops import hamiltonian_gradients

#: What each may cost, in convolutions.
LIMITS = {
    "inner_ascent": 4,
    "FirstLayer.inner_ascent": 6,
    "FirstLayer.ascend": 6,
    "hamiltonian_gradients": 5,
    "FirstLayer.accumulate_hamiltonian": 12,
    # Folded at every call: ten operations of torch more.
    "FirstLayer.ascend, batch norm evaluating": 14,
    "FirstLayer.ascend, batch norm training": 14,
}
CALLS, ROUNDS = 10, 400  # short rounds, which a busy machine leaves in peace now and then


def calls(device: str) -> dict[str, Callable[[], object]]:
    conv, relu = nn.Conv2d(1, 1, 3, padding=1).to(device), nn.ReLU()
    x, p = torch.rand(1, 1, 4, 4, device=device), torch.randn(1, 1, 4, 4, device=device)
    eta, ball, layer = torch.zeros_like(x), yopo_ext.Ball(0.1, 0.02), yopo_ext.FirstLayer((conv, relu))
    feasible, weight, bias = ball.feasible_set(x), conv.weight.detach(), conv.bias.detach()
    norms = nn.BatchNorm2d(1).to(device).eval(), nn.BatchNorm2d(1).to(device)
    evaluating, training = (yopo_ext.FirstLayer((conv, norm, relu)) for norm in norms)
    statistics = {norms[1]: (x.new_zeros(1), x.new_ones(1))}
    options = {"padding": 1, "activation": "relu"}
    steps = {"eps": 0.1, "alpha": 0.02, "steps": 1}
    return {
        "conv2d": lambda: F.conv2d(x, weight, bias, padding=1),
        "inner_ascent": lambda: yopo_ext.inner_ascent(x, eta, p, weight, bias, **steps, **options),
        "FirstLayer.inner_ascent": lambda: layer.inner_ascent(x, eta, p, **steps),
        "FirstLayer.ascend": lambda: layer.ascend(ball, feasible, eta, p, steps=1),
        "hamiltonian_gradients": lambda: hamiltonian_gradients(x, p, weight, bias, **options),
        "FirstLayer.accumulate_hamiltonian": lambda: layer.accumulate_hamiltonian(x, p),
        "FirstLayer.ascend, batch norm evaluating": lambda: evaluating.ascend(ball, feasible, eta, p, steps=1),
        "FirstLayer.ascend, batch norm training": lambda: training.ascend(
            ball, feasible, eta, p, steps=1, statistics=statistics
        ),
    }


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS


def least_of(device: str) -> dict[str, float]:
    """Seconds of a call by name. On a GPU these are the host's: nothing waits for the device."""
    timed, found = calls(device), {}
    for name, call in timed.items():
        found[name] = seconds(call)
    for _ in range(ROUNDS):
        for name, call in timed.items():
            found[name] = min(found[name], seconds(call))
        if device == "cuda":
            torch.cuda.synchronize()
    return found


@pytest.fixture(scope="module")
def least(device) -> dict[str, float]:
    return least_of(device)


@pytest.mark.parametrize("name", LIMITS)
def test_overhead(benchmark, least, device, name):
    benchmark.group = "before the kernel"
    ratio = least[name] / least["conv2d"]
    benchmark.extra_info.update(conv2d_microseconds=least["conv2d"] * 1e6, in_convolutions=ratio, limit=LIMITS[name])
    benchmark.pedantic(calls(device)[name], rounds=200, warmup_rounds=20)
    print(f"\n{name}: {least[name] * 1e6:.1f} µs, {ratio:.1f} x conv2d ({least['conv2d'] * 1e6:.1f} µs)")
    if not benchmark.disabled:
        assert ratio <= LIMITS[name]


def main(target: str) -> None:
    """Writes the ratios, with the machine and the load that it had."""
    load = os.getloadavg()[0]
    found = least_of("cpu")
    conv2d = found.pop("conv2d")
    result = {
        "machine": {**describe_machine("cpu"), "load before": round(load, 1)},
        "conv2d microseconds": round(conv2d * 1e6, 1),
        "in convolutions": {name: round(value / conv2d, 1) for name, value in found.items()}, "limits": LIMITS,
    }  # fmt: skip
    Path(target).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
