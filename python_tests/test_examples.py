# SPDX-License-Identifier: MIT
"""The examples run as their first lines say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / "examples").exists(), reason="not in a source tree")
def test_two_processes_train_under_ddp_and_print_one_report(tmp_path):
    assert "torchrun --nproc-per-node 2 examples/ddp.py" in (ROOT / "examples/ddp.py").read_text()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(
        [*command, str(ROOT / "examples/ddp.py")], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    (clean,) = re.findall(r"^clean +(\S+)$", found.stdout, re.MULTILINE)
    (robust,) = re.findall(r"^PGD-5, ce +(\S+)$", found.stdout, re.MULTILINE)
    assert float(clean) > 50  # of ten classes, after two epochs
    assert 20 < float(robust) < float(clean)
    assert "360 images" in found.stdout
