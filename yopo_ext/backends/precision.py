# SPDX-License-Identifier: MIT
"""torch's own precision setting for float32 convolutions on a GPU, read and set through whichever API torch has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_convolution = getattr(torch.backends.cudnn, "conv", None)  # torch >= 2.9


def resolve_precision(precision: str | None) -> str:
    """The precision asked for, or torch's setting: "high" where tf32 is allowed, else "highest"."""
    if precision is not None:
        return precision
    if _convolution is None:
        return "high" if torch.backends.cudnn.allow_tf32 else "highest"
    return "high" if _convolution.fp32_precision == "tf32" else "highest"


@contextmanager
def convolution_precision(precision: str | None) -> Iterator[None]:
    """Makes torch's convolutions on a GPU compute in `precision`; None leaves torch's setting alone."""
    if precision is None:
        yield
        return
    owner, name, value = (
        (torch.backends.cudnn, "allow_tf32", precision == "high")
        if _convolution is None
        else (_convolution, "fp32_precision", "tf32" if precision == "high" else "ieee")
    )
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
