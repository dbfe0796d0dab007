# SPDX-License-Identifier: MIT
"""What only a GPU can show of the Triton kernels: graphs, streams, the same bits under real parallelism, tf32."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, gradient_error_bound, make_problem
from triton_on_gpu import why_not

import yopo_ext

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
KERNELS = [(activation, precision) for activation in ("identity", "relu", "gelu") for precision in ("high", "highest")]


def problem_on_gpu(activation: str, batch: int = 4, **options):
    return make_problem(Shape(batch, 3, 32, 32, 64), activation=activation, normalize=True, device="cuda", **options)


def ascend(problem, precision: str = "high", backend: str = "triton", **options):
    options = {**problem.adversary, "steps": 3, **options}
    return yopo_ext.inner_ascent(*problem.tensors, **options, **problem.layer, precision=precision, backend=backend)


@pytest.mark.parametrize(("activation", "precision"), KERNELS)
def test_a_captured_graph_replays_the_same_bits_on_a_gpu(activation, precision):
    problem = problem_on_gpu(activation)
    expected = ascend(problem, precision)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = ascend(problem, precision)
    captured.fill_(torch.nan)
    graph.replay()
    assert torch.equal(captured, expected)


@pytest.mark.parametrize(("activation", "precision"), KERNELS)
def test_results_repeat_on_a_gpu(activation, precision):
    problem = problem_on_gpu(activation, batch=300)  # more images than programs run at a time
    first = ascend(problem, precision)
    assert all(torch.equal(ascend(problem, precision), first) for _ in range(20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("activation", ["identity", "silu"])
def test_tensor_cores_agree_with_torch_on_a_gpu(activation, dtype):
    problem = problem_on_gpu(activation, p_dtype=dtype)
    options = {"direction": "gradient", "eps": 10.0, "alpha": 1.0, "steps": 1, "bounds": None}
    problem.adversary = {}
    expected = ascend(problem, "highest", "torch", **options)
    eta = ascend(problem, "high", **options)
    bound = gradient_error_bound(problem, mantissa_bits=10)  # tf32, which Triton cuts off instead of rounding
    assert ((eta - expected).abs() <= bound).all()
    assert not torch.equal(eta, expected)


def test_the_current_stream_is_used_on_a_gpu():
    problem = problem_on_gpu("relu")
    expected = ascend(problem)
    x = problem.x
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)
        problem.x = x.clone()  # arrives late, on the side stream: a kernel elsewhere would read it too early
        eta = ascend(problem)
    torch.cuda.current_stream().wait_stream(side)
    assert torch.equal(eta, expected)
