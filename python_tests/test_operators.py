# SPDX-License-Identifier: MIT
"""The operators as torch sees them: schema, fake kernels, autograd, compile, autocast."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext.ops import hamiltonian_gradients

SHAPE = Shape(2, 3, 8, 8, 4)
LAYER = ([1, 1], [1, 1], [1, 1], "relu", [], [], None)


def budget(channels: int) -> list[float]:
    return [v for v in (0.1, 0.02, 0.0, 1.0) for _ in range(channels)]


@pytest.mark.parametrize("requires_grad", [False, True])
def test_opcheck(needs_native, requires_grad):
    problem = make_problem(SHAPE)
    tensors = [t.clone().requires_grad_(requires_grad) for t in problem.tensors]
    x, eta, p, weight, bias = tensors
    ops = torch.ops.yopo_ext
    ascent = (x, eta, p, weight, bias, *LAYER, budget(3), None, 3, "linf", "sign", None, "cpu")
    torch.library.opcheck(ops.inner_ascent.default, ascent)
    torch.library.opcheck(ops.hamiltonian.default, (x, p.detach(), weight, bias, *LAYER, None, "cpu"))
    wanted = [True, True, True]
    torch.library.opcheck(ops.hamiltonian_gradients.default, (x, p, weight, bias, *LAYER, None, "cpu", wanted))


def test_gradcheck_of_the_hamiltonian():
    x, _eta, p, weight, bias = (t.requires_grad_() for t in make_problem(SHAPE, activation="tanh").double())
    p.requires_grad_(False)
    assert torch.autograd.gradcheck(
        lambda u, w, b: yopo_ext.hamiltonian(u, p, w, b, padding=1, activation="tanh", mean=[0.4, 0.5, 0.6], std=0.3),
        (x, weight, bias),
    )


def test_fullgraph_compile(backend):
    problem = make_problem(SHAPE, normalize=True)
    options = {**problem.adversary, **problem.layer, "backend": backend}

    def loop(x, eta, p, weight, bias):
        return yopo_ext.inner_ascent(x, eta, p, weight, bias, steps=2, **options)

    compiled = torch.compile(loop, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*problem.tensors), loop(*problem.tensors))

    def value(u, p, weight, bias):
        return yopo_ext.hamiltonian(u, p, weight, bias, **problem.layer, backend=backend)

    grads = []
    for function in (value, torch.compile(value, fullgraph=True, backend="aot_eager")):
        leaves = [t.clone().requires_grad_() for t in (problem.u, problem.weight, problem.bias)]
        function(leaves[0], problem.p, *leaves[1:]).backward()
        grads.append([leaf.grad for leaf in leaves])
    assert all(map(torch.equal, *grads))


def test_compile_with_tensors_for_eps_and_bounds(needs_native):
    problem = make_problem(SHAPE)
    eps = torch.tensor([0.02, 0.03, 0.04])

    def loop(eps, *tensors):
        bounds = (torch.zeros(3), torch.ones(3))
        return yopo_ext.inner_ascent(*tensors, eps=eps, alpha=eps / 4, bounds=bounds, steps=2, **problem.layer)

    compiled = torch.compile(loop, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(eps, *problem.tensors), loop(eps, *problem.tensors))


def test_no_result_requires_grad_and_nothing_leaks(backend):
    problem = make_problem(SHAPE)
    leaves = [t.clone().requires_grad_() for t in problem.tensors]
    eta = yopo_ext.inner_ascent(*leaves, **problem.adversary, steps=2, **problem.layer, backend=backend)
    grads = hamiltonian_gradients(leaves[0], *leaves[2:], **problem.layer, backend=backend)
    assert not any(t.requires_grad for t in (eta, *grads[:2]))
    assert all(leaf.grad is None for leaf in leaves)


def test_gradients_only_where_they_are_needed(backend):
    problem = make_problem(SHAPE)
    bias = problem.bias.clone().requires_grad_()
    value = yopo_ext.hamiltonian(problem.u, problem.p, problem.weight, bias, **problem.layer, backend=backend)
    (3 * value).backward()
    _, grad, _ = hamiltonian_gradients(problem.u, *problem.tensors[2:], **problem.layer, backend=backend)
    assert torch.equal(bias.grad, 3 * grad)


def test_autocast_is_off_inside(backend):
    problem = make_problem(SHAPE)
    options = {**problem.adversary, "steps": 2, **problem.layer, "backend": backend}
    expected = yopo_ext.inner_ascent(*problem.tensors, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        eta = yopo_ext.inner_ascent(*problem.tensors, **options)
        value = yopo_ext.hamiltonian(problem.u, *problem.tensors[2:], **problem.layer, backend=backend)
    assert torch.equal(eta, expected)
    assert value.dtype == torch.float32


def test_float64_runs_on_torch():
    problem = make_problem(SHAPE)
    eta = yopo_ext.inner_ascent(*problem.double(), **problem.adversary, steps=2, **problem.layer)
    assert eta.dtype == torch.float64
