# SPDX-License-Identifier: MIT
"""The CUDA toolkit's programs, as tests find them."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


def cuobjdump() -> str | None:
    """From PATH, beside nvcc, or as the triton wheel carries it."""
    if (found := shutil.which("cuobjdump")) is not None:
        return found
    folders = []
    if (nvcc := shutil.which("nvcc")) is not None:
        folders.append(Path(nvcc).resolve().parent)
    if (triton := find_spec("triton")) is not None and triton.origin is not None:
        folders.append(Path(triton.origin).parent / "backends/nvidia/bin")
    return next((str(folder / "cuobjdump") for folder in folders if (folder / "cuobjdump").exists()), None)


needs_cuobjdump = pytest.mark.skipif(
    cuobjdump() is None, reason="cuobjdump is not installed (the CUDA toolkit and the triton wheel carry it)"
)
