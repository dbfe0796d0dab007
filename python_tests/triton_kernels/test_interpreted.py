# SPDX-License-Identifier: MIT
"""The differential suite on the Triton kernels, run on the CPU by Triton's interpreter.

In processes of their own, because TRITON_INTERPRET must be set before triton is imported, and the code that is compiled
ahead of time must not be interpreted.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from yopo_ext.backends.triton_backend import why_not_triton

pytestmark = pytest.mark.skipif(why_not_triton() is not None, reason=str(why_not_triton()))

TESTS = Path(__file__).parents[1]
SUITES = ("test_differential.py", "test_invariants.py", "test_edge_cases.py", "test_operators.py")

# The interpreter is slow, so of the numbers that are not finite it skips combinations that take no path of their own:
# minus infinity takes those of infinity, tanh those of relu (NaN apart), and the l2 step does not know the activation.
# Without bounds, what relu adds to identity is known from within them. It also mistakes subnormal bfloat16, and gives
# the same bits in any case: one thread runs the programs in order.
SELECTION = (
    "triton and not triton_on_gpu and not widen_exactly and not same_bits "
    "and not --inf and not (tanh and (-inf- or l2)) and not (None- and relu-)"
)


@pytest.fixture(scope="module")
def running() -> dict[str, subprocess.Popen]:
    """All suites at once, so that two cores are busy."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)  # each has one process, however many run this
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", SELECTION]
    return {
        suite: subprocess.Popen(
            [*command, str(TESTS / suite)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment, cwd=TESTS.parent,
        )
        for suite in SUITES
    }  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_suite(running, suite):
    output, _ = running[suite].communicate()
    assert running[suite].returncode == 0, output[-20000:]
