# SPDX-License-Identifier: MIT
"""The state of one warp."""

import numpy as np

U32 = np.uint32


class Warp:
    def __init__(self, index):
        self.id = index
        self.R = np.full((256, 32), 0xDEADBEEF, U32)
        self.U = [0xDEAD] * 64
        self.P = np.zeros((8, 32), bool)
        self.UP = [False] * 8
        self.all, self.none, self.zero = np.ones(32, bool), np.zeros(32, bool), np.zeros(32, U32)
        self.tid = np.arange(32 * index, 32 * index + 32, dtype=U32)
        self.g, self.t = np.arange(32) >> 2, np.arange(32) & 3
        self.groups = [[0, self.all, None]]  # of lanes: program counter, mask, what they wait for
        self.B = {}  # convergence barriers: lanes that take part
        self.live = np.ones(32, bool)
