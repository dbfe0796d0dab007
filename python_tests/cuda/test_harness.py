# SPDX-License-Identifier: MIT
"""The host harness finds what it is there to find, and finds nothing in the kernels that are shipped."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import cuda_on_host
import pytest

TESTS = cuda_on_host.CSRC / "cuda/host/tests"
SANITIZERS = {
    "none": (),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}

pytestmark = pytest.mark.skipif(
    cuda_on_host.why_not_buildable() is not None, reason=str(cuda_on_host.why_not_buildable())
)


@cache
def harness(sanitizer: str) -> Path:
    flags = SANITIZERS[sanitizer]
    return cuda_on_host.compile_and_link(
        [TESTS / "harness.cpp", cuda_on_host.CSRC / "cuda/host/device.cpp"], Path("harness"), flags, ()
    )


@cache
def kernels(sanitizer: str) -> Path:
    sources = [*cuda_on_host.KERNELS, TESTS / "kernels.cpp"]
    return cuda_on_host.compile_and_link(sources, Path("kernels"), SANITIZERS[sanitizer], ())


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    options = {
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "TSAN_OPTIONS": "exitcode=66:halt_on_error=1",
    }
    return subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **options, **environment},
        timeout=300,
    )


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("case", ["good", "with_syncwarp", "fragments"])
def test_faultless_kernels_pass(sanitizer, case):
    result = run(harness(sanitizer), case)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("case", "sanitizer", "message"),
    [
        ("missing_barrier", "none", ""),
        ("missing_barrier", "thread", "data race"),
        ("missing_syncwarp", "thread", "data race"),
        ("shuffle_is_no_fence", "thread", "data race"),
        ("divergent_barrier", "none", "divergent barrier"),
        ("barrier_after_an_exit", "none", "divergent barrier"),
        ("divergent_mma", "none", "deadlock"),
        ("lanes_disagree", "none", "lanes disagree"),
        ("off_by_one_halo", "address", "use-after-poison"),
        ("global_halo", "address", "heap-buffer-overflow"),
        ("uninitialised_border", "none", "nan"),
        ("shift_too_far", "address", "shift exponent 32"),
    ],
)
def test_planted_faults_are_caught(case, sanitizer, message):
    result = run(harness(sanitizer), case)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr


def test_swapped_fragments_are_caught():
    assert run(harness("none"), "fragments", SIMT_SWAP_FRAGMENTS="1").returncode != 0


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_kernels_are_clean_in_every_thread_order(sanitizer):
    # What sanitizers look for does not depend on the order.
    result = run(kernels(sanitizer), "4" if sanitizer == "none" else "1")
    assert result.returncode == 0, (result.stdout + result.stderr)[:4000]


def test_a_workspace_that_is_too_small_is_caught():
    result = run(kernels("address"), "1", "streamed", SIMT_SHORT_WORKSPACE="1")
    assert result.returncode != 0
    assert "AddressSanitizer" in result.stderr


def test_every_missing_barrier_is_caught():
    """Each __syncthreads of the shipped kernels in turn is left out: ThreadSanitizer, or the orders, must object."""
    trials: dict[str, list[str]] = {}
    for line in run(kernels("none"), "1").stdout.splitlines():
        if line.startswith("barrier\t"):
            _, trial, barrier = line.split("\t")
            trials.setdefault(barrier, []).append(trial)
    assert len(trials) > 10
    unnoticed = [barrier for barrier, names in trials.items() if not is_missed(barrier, names)]
    assert not unnoticed


def is_missed(barrier: str, trials: list[str]) -> bool:
    """Whether a trial that comes to the barrier fails without it."""
    return any(
        run(kernels(sanitizer), orders, trial, SIMT_SKIP_BARRIER=barrier).returncode != 0
        for sanitizer, orders in (("none", "3"), ("thread", "1"))
        for trial in trials
    )
