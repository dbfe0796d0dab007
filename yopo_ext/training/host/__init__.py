# SPDX-License-Identifier: MIT
"""What a run is carried out by: processes, devices, memory, and the signals that stop it."""

from ...processes import ProcessError, Processes
from .device import AUTO, choose_device, chosen_device_text, open_device
from .interrupt import Interrupted, StopRequest, stop_on_signals
from .memory import keep_freed_memory
from .started_processes import started_processes

__all__ = [
    "AUTO",
    "Interrupted",
    "ProcessError",
    "Processes",
    "StopRequest",
    "choose_device",
    "chosen_device_text",
    "keep_freed_memory",
    "open_device",
    "started_processes",
    "stop_on_signals",
]
