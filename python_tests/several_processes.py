# SPDX-License-Identifier: MIT
"""Starts a script in several processes that know of one another, and the run that they share in the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import yopo_ext
from yopo_ext.training import make_config

TESTS = Path(__file__).resolve().parent
# With the package that the tests import, which is not this folder's where it has been installed.
PATHS = (TESTS, Path(yopo_ext.__file__).resolve().parents[1])

# 57 images: the last mini-batch of an epoch has nine, so the processes' shares differ.
CONFIG = make_config(
    method="yopo-2-2", eps=0.1, alpha=0.02, epochs=2, batch_size=16, limit_train=57, limit_eval=21, curve_steps=1,
    eval_steps=2, lr=0.05, milestones=(2,),
)  # fmt: skip


def run_together(script: Path, argument: Path, count: int) -> None:
    """`script argument` in so many processes, on CPUs; an error of one of them is raised with what all said."""
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    common |= {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    common |= {"PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(argument)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        errors = [one.communicate(timeout=240)[1] for one in running]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0] * count, "".join(error[-2000:] for error in errors)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
