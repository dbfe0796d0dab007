# SPDX-License-Identifier: MIT
"""The Triton kernels on a GPU, as one more backend of the tests that take tensors on the CPU."""

from __future__ import annotations

import torch
from cuda_on_host import OnTheGpu

import yopo_ext.backends
from yopo_ext.backends import triton_backend


def why_not() -> str | None:
    if not torch.cuda.is_available():
        return "there is no GPU"
    return triton_backend.why_not_triton() or triton_backend._why_not_device(torch.device("cuda"))


def register() -> None:
    """Makes "triton_on_gpu" selectable."""
    yopo_ext.backends.register("triton_on_gpu", OnTheGpu(triton_backend))
