# SPDX-License-Identifier: MIT
"""Global memory: arrays put there by the host, which a kernel's blocks, and kernels one after another, share."""

import numpy as np

GLOBAL_BASE = 0x7000_0000_0000


class GlobalMemory:
    """Addresses begin at `GLOBAL_BASE`; whatever lies outside the arrays put here raises when it is accessed."""

    def __init__(self, size: int = 64 << 20) -> None:
        self.data = np.zeros(size, np.uint8)
        self.top = 0

    def put(self, array: np.ndarray) -> int:
        """The device address of a copy."""
        data = np.ascontiguousarray(array).view(np.uint8).ravel()
        at = (self.top + 255) // 256 * 256
        if at + data.size > self.data.size:
            raise MemoryError(f"emulated global memory: {at + data.size} bytes wanted, {self.data.size} are there")
        self.data[at : at + data.size] = data
        self.top = at + data.size
        return GLOBAL_BASE + at

    def get(self, address: int, like: np.ndarray) -> np.ndarray:
        """A copy of what lies at an address, with the type and shape of `like`."""
        at = address - GLOBAL_BASE
        return self.data[at : at + like.nbytes].view(like.dtype).reshape(like.shape).copy()
