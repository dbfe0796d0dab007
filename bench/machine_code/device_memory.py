# SPDX-License-Identifier: MIT
"""A call's tensors in emulated global memory, and its launches' pointers turned into addresses there."""

from __future__ import annotations

import ctypes
import struct

import numpy as np
from emulator.global_memory import GlobalMemory
from torch import Tensor


def _bytes_of(tensor: Tensor) -> np.ndarray:
    """The whole storage, as it lies."""
    storage = tensor.untyped_storage()
    return np.ctypeslib.as_array((ctypes.c_uint8 * storage.nbytes()).from_address(storage.data_ptr()))


class DeviceMemory:
    """Every storage once; the empty ones as NaN, as memory that nobody wrote."""

    def __init__(self, filled: list[Tensor], empty: list[Tensor]) -> None:
        self._places: dict[int, tuple[Tensor, int]] = {}  # where it lies on the host -> (it, its emulated address)
        storages = {t.untyped_storage().data_ptr(): (t, t_is_empty)
                    for tensors, t_is_empty in ((empty, True), (filled, False)) for t in tensors
                    if t.untyped_storage().nbytes()}  # fmt: skip
        self.memory = GlobalMemory(sum(t.untyped_storage().nbytes() + 256 for t, _ in storages.values()))
        for at, (tensor, is_empty) in storages.items():
            data = _bytes_of(tensor)
            self._places[at] = tensor, self.memory.put(np.full_like(data, 0xFF) if is_empty else data)

    def translate(self, parameters: bytes) -> bytes:
        """The parameters with emulated addresses in the place of the host's."""
        words = bytearray(parameters)
        for offset in range(0, len(words) - 7, 8):
            (word,) = struct.unpack_from("<Q", words, offset)
            for at, (tensor, emulated) in self._places.items():
                if at <= word < at + tensor.untyped_storage().nbytes():
                    struct.pack_into("<Q", words, offset, emulated + word - at)
        return bytes(words)

    def bring_back(self, tensors: list[Tensor]) -> None:
        """What kernels have written to these, on the host."""
        for tensor in tensors:
            place = self._places.get(tensor.untyped_storage().data_ptr())
            if place is not None:
                data = _bytes_of(tensor)
                data[:] = self.memory.get(place[1], data)
