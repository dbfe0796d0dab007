# SPDX-License-Identifier: MIT
"""The OpenMP runtime that torch computes on: the CPU kernels run on its threads, for a second pool would fight with it.

The native module is not linked to one. torch's wheels carry libgomp under several names, and linked by name the module
would get the system's beside torch's, or none.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

#: Where to look, as (whose it is, library, mode of loading). What is visible to the whole process comes first because
#: torch's own calls go there first. `RTLD_NOLOAD` finds a library that is there already and loads none.
_PLACES = (
    ("torch", None, 0),
    ("torch", "libtorch_cpu.so", getattr(os, "RTLD_NOLOAD", 0)),
    ("system", "libgomp.so.1", 0),
)


@cache
def _find() -> tuple[str, int] | None:
    for owner, library, mode in _PLACES:
        try:
            region = ctypes.CDLL(library, mode).GOMP_parallel
        except (OSError, AttributeError):
            continue
        return owner, ctypes.cast(region, ctypes.c_void_p).value or 0
    return None


def parallel_region() -> int:
    """The address of the runtime's `GOMP_parallel`; 0 where there is none. torch must have been imported."""
    found = _find()
    return 0 if found is None else found[1]


def describe() -> str:
    """Whose threads they are, for `yopo info`."""
    found = _find()
    return "the calling one alone, no OpenMP runtime was found" if found is None else f"{found[0]}'s OpenMP runtime"
