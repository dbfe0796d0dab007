# SPDX-License-Identifier: MIT
"""What only a GPU can show: streams, graphs, devices, the compiler, determinism under real parallelism."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext.adversaries.random_start import random_start
from yopo_ext.backends import cuda_backend

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or cuda_backend._why_not_built() is not None,
    reason="needs a GPU and a build with CUDA",
)
KERNELS = [
    ("identity", "high", 64), ("identity", "highest", 64), ("relu", "high", 64), ("relu", "highest", 64),
    ("gelu", "high", 64), ("relu", "high", 128),  # the last one's p fits no shared memory
]  # fmt: skip


def problem_on_gpu(activation: str, channels: int = 64, batch: int = 4):
    return make_problem(Shape(batch, 3, 32, 32, channels), activation=activation, normalize=True, device="cuda")


def ascend(problem, precision: str = "high", **options):
    options = {**problem.adversary, "steps": 3, **options}
    return yopo_ext.inner_ascent(*problem.tensors, **options, **problem.layer, precision=precision, backend="cuda")


@pytest.mark.parametrize(("activation", "precision", "channels"), KERNELS)
def test_a_captured_graph_replays_the_same_bits_on_a_gpu(activation, precision, channels):
    problem = problem_on_gpu(activation, channels)
    expected = ascend(problem, precision)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = ascend(problem, precision)
    captured.fill_(torch.nan)
    graph.replay()
    assert torch.equal(captured, expected)


FIRST_IN_A_CAPTURE = """
import sys, torch
sys.path[:0] = sys.argv[1:]
import test_on_a_gpu as tests
kernels = [(tests.problem_on_gpu(activation, channels), precision) for activation, precision, channels in tests.KERNELS]
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    captured = [tests.ascend(*kernel) for kernel in kernels]
graph.replay()
for etas, kernel in zip(captured, kernels, strict=True):
    assert torch.equal(etas, tests.ascend(*kernel))
"""


def test_the_first_call_of_a_process_may_be_inside_a_capture_on_a_gpu():
    """The driver loads a kernel's code at its first use, which a capture must not notice."""
    here = Path(__file__).resolve().parent
    subprocess.run([sys.executable, "-c", FIRST_IN_A_CAPTURE, str(here), str(here.parent)], check=True)


@pytest.mark.parametrize(("activation", "precision", "channels"), KERNELS)
def test_results_repeat_on_a_gpu(activation, precision, channels):
    problem = problem_on_gpu(activation, channels, batch=300)  # more images than blocks run at a time
    first = ascend(problem, precision)
    assert all(torch.equal(ascend(problem, precision), first) for _ in range(20))


def test_threads_with_different_shapes_share_a_kernel_on_a_gpu():
    problems = [problem_on_gpu("relu", channels) for channels in (32, 64)]
    expected = [ascend(problem) for problem in problems]

    def repeats(i: int) -> bool:
        return all(torch.equal(ascend(problems[i]), expected[i]) for _ in range(200))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(repeats, range(2)))


def test_the_current_stream_is_used_on_a_gpu():
    problem = problem_on_gpu("relu")
    expected = ascend(problem)
    x = problem.x
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)
        problem.x = x.clone()  # arrives late, on the side stream: a kernel elsewhere would read it too early
        actual = ascend(problem)
    side.synchronize()
    assert torch.equal(actual, expected)


def test_values_on_the_device_need_no_synchronisation_on_a_gpu():
    problem = problem_on_gpu("relu")
    expected = ascend(problem, eps=[0.1, 0.2, 0.3], alpha=[0.1, 0.05, 0.02])
    eps, alpha = (torch.tensor(row, device="cuda") for row in ([0.1, 0.2, 0.3], [0.1, 0.05, 0.02]))
    torch.cuda.set_sync_debug_mode("error")
    try:
        actual = ascend(problem, eps=eps, alpha=alpha)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(actual, expected)


def test_lists_need_no_synchronisation_on_a_gpu():
    problem = problem_on_gpu("relu")
    values = {"eps": [0.1, 0.2, 0.3], "alpha": (0.1, 0.05, 0.02), "bounds": ([0.0, 0.1, 0.2], 1.0)}
    expected = ascend(problem, **values)
    start = random_start(problem.x, eps=values["eps"], bounds=values["bounds"])
    torch.cuda.set_sync_debug_mode("error")
    try:
        actual = ascend(problem, **values)
        random_start(problem.x, eps=values["eps"], bounds=values["bounds"])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(actual, expected)
    assert start.isfinite().all()


def test_under_the_compiler_on_a_gpu():
    problem = problem_on_gpu("relu")
    compiled = torch.compile(lambda: ascend(problem), fullgraph=True)
    assert torch.equal(compiled(), ascend(problem))


def test_the_hamiltonian_inside_a_graph_on_a_gpu():
    problem = problem_on_gpu("relu")

    def gradients():
        return yopo_ext.ops.hamiltonian_gradients(
            problem.u, *problem.tensors[2:], **problem.layer, backend="cuda", need_input=True
        )

    expected = gradients()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = gradients()
    graph.replay()
    assert all(torch.equal(a, b) for a, b in zip(captured, expected, strict=True))


def test_cuda_is_the_backend_that_is_chosen_on_a_gpu():
    problem = problem_on_gpu("relu")
    explained = yopo_ext.explain(*problem.tensors, **problem.adversary, **problem.layer, steps=2)
    assert explained.backend == "cuda"
