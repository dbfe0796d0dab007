# SPDX-License-Identifier: MIT

import platform
import subprocess
import sys

import pytest

PROBE = """
import torch
from yopo_ext.training.host import keep_freed_memory
print(keep_freed_memory() if {keep} else False)
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
blocks = [torch.ones(4_000_000) for _ in range(8)]
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_blocks_stay_with_the_process():
    left = {}
    for keep in (True, False):
        output = subprocess.run([sys.executable, "-c", PROBE.format(keep=keep)], capture_output=True, text=True)
        said, resident = output.stdout.split()
        assert said == str(keep), output.stderr
        left[keep] = int(resident)
    assert left[True] > 100e6  # of 128 MB
    assert left[False] < 50e6
