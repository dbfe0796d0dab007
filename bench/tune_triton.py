# SPDX-License-Identifier: MIT
"""Times the Triton kernels under many tilings on this GPU, and writes the fastest where the backend reads them.

    python bench/tune_triton.py tuned.json [row ...]        rows of the table, as "linear high"; all by default
    YOPO_EXT_TRITON_CONFIGURATIONS=tuned.json yopo train ...

What proves faster belongs into yopo_ext/backends/triton_kernels/configurations.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import triton

from yopo_ext import ops
from yopo_ext.backends.call import HamiltonianCall, InnerAscentCall
from yopo_ext.backends.triton_kernels import configurations, plan
from yopo_ext.backends.triton_kernels.configurations import Configuration
from yopo_ext.backends.triton_kernels.launch import Launch, run
from yopo_ext.benchmark.cases import CASES, Case

BY_NAME = {case.name: case for case in CASES}
ROW_CASES = {
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
    return ops._read_inner_ascent(
        t["x"], t["eta"], t["p"], t["weight"], t["bias"], case.eps, case.alpha, case.steps, case.stride,
        case.padding, 1, case.activation, None, None, (0.0, 1.0), "linf", "sign", precision,
    )  # fmt: skip


def planner(kernel: str, call: InnerAscentCall, capability: int) -> Callable[[], list[Launch]]:
    if kernel != "weights":
        out = torch.empty_like(call.eta)
        return lambda: plan.inner_ascent(call, out, capability)
    problem = HamiltonianCall(call.x, call.p, call.layer, call.precision)
    weight, bias = (torch.empty_like(t) for t in (call.layer.weight, call.layer.bias))
    return lambda: plan.weight_gradients(problem, weight, bias, capability)


def milliseconds(launches: list[Launch], device: torch.device) -> float | None:
    """Median with a cold L2 cache; None for tiles that this GPU has no room for."""
    try:
        return triton.testing.do_bench(lambda: run(launches, device), warmup=10, rep=50, return_mode="median")
    except triton.runtime.errors.OutOfResources:
        return None


def tune(row: str, capability: int, device: torch.device) -> Configuration:
    kernel, precision = row.split()
    call = read(ROW_CASES[kernel], precision, str(device))
    make = planner(kernel, call, capability)
    rows = configurations.TABLE[row]
    current = configurations.configuration(kernel, precision, capability)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    timings: dict[Configuration, float] = {}
    for candidate in dict.fromkeys((current, *candidates(precision, processors))):
        rows[capability] = candidate
        if (time := milliseconds(make(), device)) is not None:
            timings[candidate] = time
    best = min(timings, key=timings.__getitem__)
    rows[capability] = best
    print(
        f"{row}: {timings[current] * 1e3:.1f} us as it is {tuple(current)}, "
        f"{timings[best] * 1e3:.1f} us with {tuple(best)}"
    )
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(configurations.TABLE)}")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("tuning needs a GPU")
    device = torch.device("cuda", torch.cuda.current_device())
    major, minor = torch.cuda.get_device_capability(device)
    capability = 10 * major + minor
    tuned = {
        row: {str(capability): tune(row, capability, device)._asdict()}
        for row in arguments.rows or configurations.TABLE
    }
    arguments.file.write_text(json.dumps(tuned, indent=2) + "\n")


if __name__ == "__main__":
    main()
