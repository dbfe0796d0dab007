# SPDX-License-Identifier: MIT
"""The command line as users start it on several GPUs, on CPUs here; the second process comes late."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

import yopo_ext
from yopo_ext.cli.settings import flag_of
from yopo_ext.training import load_checkpoint
from yopo_ext.training.config.layout import KINDS, homes

COMMAND = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
    str(Path(__file__).parent / "late_second.py"),
]  # fmt: skip
QUICK = ["-m", "1", "-n", "1", "--limit-eval", "20", "--eval-steps", "1", "--curve-steps", "1", "--no-compare-natural"]


def test_torchrun_takes_none_of_our_options_for_its_own():
    """As the documentation starts it."""
    for name in (*KINDS, *homes()):
        flag = flag_of(name)
        given = get_args_parser().parse_args(["--nproc-per-node", "2", "-m", "--", "yopo_ext", "train", flag, "x"])
        assert (given.training_script, given.training_script_args) == ("yopo_ext", ["train", flag, "x"])


def start(folder, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(yopo_ext.__file__).parents[1])}
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(process, seconds=120):
    try:
        return process.communicate(timeout=seconds)
    finally:
        process.kill()


def test_a_run_names_one_folder_and_ends(tmp_path):
    """With held-out images it has a best checkpoint, which both measure at the end."""
    process = start(tmp_path, "train", *QUICK, "--epochs", "1", "--limit-train", "40", "--held-out", "20")
    out, err = end(process)
    assert process.returncode == 0, err
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"config.json", "last.pt", "best.pt", "summary.json"} <= {path.name for path in folder.iterdir()}
    assert set(json.loads((folder / "summary.json").read_text())["yopo"]["best"]) == {"clean", "robust", "epoch"}
    assert out.count("epoch 1/1") == out.count("run folder: ") == 1
    measured = start(tmp_path, "evaluate", str(folder), "--steps", "1", "--batch-size", "15")
    out, err = end(measured)
    assert measured.returncode == 0, err
    assert out.count("20 images") == out.count("clean") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_a_stop_is_told_once_and_leaves_a_checkpoint(tmp_path):
    folder = tmp_path / "run"
    process = start(tmp_path, "train", *QUICK, "--epochs", "9999", "--batch-size", "16", "--out", str(folder))
    try:
        deadline = time.monotonic() + 100
        while not (folder / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
    finally:
        _, err = end(process)
    assert time.monotonic() - asked < 25, "torchrun kills after 30 seconds"
    assert err.count("interrupted by SIGTERM") == 1
    assert f"interrupted by SIGTERM; go on with: yopo train --resume {folder}, on 2 processes as before\n" in err
    assert len(load_checkpoint(folder)["processes"]) == 2
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]
