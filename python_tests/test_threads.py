# SPDX-License-Identifier: MIT
"""The CPU kernels under threads and forks."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext.ops import hamiltonian_gradients

PROBLEM = make_problem(Shape(12, 3, 16, 16, 16))


def ascend():
    return yopo_ext.inner_ascent(*PROBLEM.tensors, **PROBLEM.adversary, steps=3, **PROBLEM.layer, backend="cpu")


def gradients():
    return hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], **PROBLEM.layer, backend="cpu", need_input=True)


def test_results_do_not_depend_on_the_number_of_threads(needs_native):
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append((ascend(), *gradients()))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def test_several_python_threads_at_once(needs_native, two_threads):
    expected = ascend()
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(eta, expected) for eta in pool.map(lambda _: ascend(), range(16)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_too(needs_native, two_threads):
    """OpenMP's threads are gone in the child; waiting for them would never end."""
    expected = ascend()
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(ascend(), expected) else 1)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
