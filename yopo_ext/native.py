# SPDX-License-Identifier: MIT
"""The compiled module, or the reason why there is none."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch  # noqa: F401  (its OpenMP runtime must be there before the module asks for it)

from . import openmp


@cache
def _load() -> tuple[ModuleType | None, str | None]:
    try:
        from . import _native  # type: ignore[attr-defined]  # which the installation builds
    except ImportError as error:
        return None, f"the native module is not available ({error})"
    _native.use_threads(openmp.parallel_region())
    return _native, None


def native() -> ModuleType:
    """The compiled module `yopo_ext._native`.

    Raises:
        RuntimeError: it was not built, or does not load here; the message says why.
    """
    module, reason = _load()
    if module is None:
        raise RuntimeError(reason)
    return module


def why_not_native() -> str | None:
    """None if the compiled module is there, else the reason."""
    return _load()[1]
