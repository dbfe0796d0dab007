# SPDX-License-Identifier: MIT

import platform
import subprocess
import sys

import pytest

PROBE = """
import resource, torch
from yopo_ext.training.memory import keep_freed_memory
print(keep_freed_memory() if {keep} else False)
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): torch.ones(4_000_000)
before = faults()
for _ in range(20): torch.ones(4_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_blocks_are_used_again():
    found = {}
    for keep in (True, False):
        output = subprocess.run([sys.executable, "-c", PROBE.format(keep=keep)], capture_output=True, text=True)
        said, faults = output.stdout.split()
        assert said == str(keep), output.stderr
        found[keep] = int(faults)
    # 16 MB a tensor: 20 times 4,000 small pages, or a few where the system has large ones.
    assert found[True] < found[False] / 3
