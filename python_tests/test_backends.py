# SPDX-License-Identifier: MIT
"""The choice of a backend, and how it is explained."""

from __future__ import annotations

from time import thread_time
from types import SimpleNamespace

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext import backends
from yopo_ext.backends import cpu_backend

PROBLEM = make_problem(Shape(2, 3, 8, 8, 4))


def explain(*tensors, **options):
    return yopo_ext.explain(*(tensors or PROBLEM.tensors), **PROBLEM.adversary, steps=2, **PROBLEM.layer, **options)


def test_the_cpu_kernels_are_preferred(needs_native):
    explanation = explain()
    assert explanation.backend == "cpu"
    assert str(explanation).startswith("runs on: cpu\nnot on ")


def test_explain_gives_the_reason_of_each_other_backend(needs_native):
    explanation = explain(*PROBLEM.double())
    assert explanation.backend == "torch"
    assert "float32" in explanation.others["cpu"]


def test_an_explicit_backend_that_cannot_run_the_call_raises(needs_native):
    with pytest.raises(RuntimeError, match=r"backend='cpu' cannot run this call: .*float64"):
        explain(*PROBLEM.double(), backend="cpu")


def test_images_too_large_for_the_scratch_memory_fall_back(needs_native):
    problem = make_problem(Shape(1, 3, 500, 500, 2))
    eta = yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, steps=1, **problem.layer)
    assert eta.abs().max() > 0
    with pytest.raises(RuntimeError, match="2 MB of scratch memory"):
        yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, steps=1, **problem.layer, backend="cpu")


def test_the_environment_names_a_backend(monkeypatch):
    monkeypatch.setenv("YOPO_EXT_BACKEND", "torch")
    assert explain().backend == "torch"
    monkeypatch.setenv("YOPO_EXT_BACKEND", "abacus")
    with pytest.raises(ValueError, match="YOPO_EXT_BACKEND: got 'abacus'"):
        explain()


def test_an_unknown_instruction_set_is_named(needs_native, monkeypatch):
    monkeypatch.setenv("YOPO_EXT_CPU_ISA", "mmx")
    with pytest.raises(RuntimeError, match=r"'mmx'.*baseline"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **PROBLEM.adversary, steps=1, **PROBLEM.layer, backend="cpu")


def test_without_the_native_module_torch_runs(monkeypatch):
    monkeypatch.setattr(cpu_backend, "why_not_native", lambda: "the native module is not available (test)")
    assert explain().others["cpu"] == "the native module is not available (test)"
    assert explain().backend == "torch"


def test_a_linear_layer_pays_one_adjoint_whatever_n_is(needs_native, monkeypatch):
    """By this thread's own clock, generously: 100 steps cost less than 10 evaluations would."""
    problem = make_problem(Shape(8, 3, 32, 32, 64), activation="identity")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)

    def seconds(steps: int) -> float:
        best = float("inf")
        for _ in range(5):
            start = thread_time()
            yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, steps=steps, **problem.layer, backend="cpu")
            best = min(best, thread_time() - start)
        return best

    assert seconds(100) < 10 * seconds(1)
    one, many = (
        yopo_ext.inner_ascent(*problem.tensors, **problem.adversary, steps=n, **problem.layer) for n in (1, 100)
    )
    assert not torch.equal(one, many)


def test_a_backend_without_all_its_parts_is_refused():
    half = SimpleNamespace(can_run=lambda call: None, inner_ascent=lambda call: None, hamiltonian=lambda call: None)
    with pytest.raises(TypeError, match="backend: got a SimpleNamespace without hamiltonian_gradients, fuses_gradient"):
        backends.register("half", half)
    assert "half" not in backends.names()
