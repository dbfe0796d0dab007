# SPDX-License-Identifier: MIT
"""The CUDA toolkit's programs, as tests find them."""

from __future__ import annotations

import shutil

import pytest
from cubins import find_tool


def cuobjdump() -> str | None:
    return find_tool("cuobjdump")


needs_cuobjdump = pytest.mark.skipif(
    cuobjdump() is None, reason="cuobjdump is not installed (the CUDA toolkit and the triton wheel carry it)"
)

needs_disassembler = pytest.mark.skipif(
    shutil.which("nvcc") is None or find_tool("nvdisasm") is None,
    reason="nvcc or nvdisasm is not installed (the triton wheel carries nvdisasm)",
)
