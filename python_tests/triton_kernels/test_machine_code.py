# SPDX-License-Identifier: MIT
"""The linear Triton kernel's sm_90 machine code, executed for an image: right, and ordered by its barriers."""

import pytest

from yopo_ext.backends.triton_backend import interpreted, why_not_triton

pytestmark = pytest.mark.skipif(
    why_not_triton() is not None or interpreted(), reason=why_not_triton() or "Triton interprets its kernels here"
)


def test_the_linear_kernel_s_machine_code_is_right(tmp_path):
    from cases import CASES
    from triton_count import run

    counts, blocks, wrong = run(CASES["wrn-linear"], 2, tmp_path)
    assert wrong == []
    assert len(blocks) >= 1
    assert counts.total("issued", lambda i: blocks[0].ins[i].base == "HMMA") > 0
