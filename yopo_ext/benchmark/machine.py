# SPDX-License-Identifier: MIT
"""What a measurement depends on besides the code: the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch

import yopo_ext

from ..native import native, why_not_native


def describe_machine(device: str) -> dict[str, object]:
    """Plain JSON values; `isa` is the instruction set of the native CPU kernels, None without them."""
    isas = [] if why_not_native() else native().cpu_isas()
    machine: dict[str, object] = {
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "isa": os.environ.get("YOPO_EXT_CPU_ISA") or next(iter(isas), None),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "yopo_ext": yopo_ext.__version__,
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        machine |= {
            "gpu": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
        }
    return machine


def _processor() -> str:
    try:
        name = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        name = None
    return name[1].strip() if name else platform.processor() or platform.machine()
