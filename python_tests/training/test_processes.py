# SPDX-License-Identifier: MIT

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from yopo_ext.training import CheckpointError, Processes, StopRequest, Trainer, load_checkpoint
from yopo_ext.training.prepare_data import prepare_data

SCRIPT = Path(__file__).parent / "two_processes.py"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_two(folder, config):
    """Trains on two processes, and gives back what the first one found."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(config.to_dict()))
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    common["PYTHONFAULTHANDLER"] = "1"
    command = [sys.executable, str(SCRIPT), str(folder), str(folder / "settings.json")]
    running = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=SCRIPT.parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [one.communicate(timeout=120)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], "".join(error[:2000] for error in errors)
    return json.loads((folder / "found.json").read_text())


def test_joint_gradients_have_the_layout_of_their_parameters(monkeypatch):
    """Fused optimisers compare them, and parameters are channels-last by default."""
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    conv.weight.grad = torch.randn_like(conv.weight).contiguous()
    expected = 0.5 * conv.weight.grad
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, *_: None)
    Processes(rank=0, count=2).average_gradients(conv.parameters(), 0.5)
    assert torch.equal(conv.weight.grad, expected)
    conv.weight.grad = None
    processes = Processes(rank=0, count=2)
    processes._has_gradient = [True, False]
    processes.average_gradients(conv.parameters(), 0.5)
    assert conv.weight.grad.stride() == conv.weight.stride() != (27, 9, 3, 1)


def alone(folder, config):
    folder.mkdir()
    trainer = Trainer(config, prepare_data(config), folder, show=False)
    trainer.fit(StopRequest())
    return load_checkpoint(folder)


@pytest.fixture
def config(runs):
    # 57 images: the last mini-batch of an epoch has nine, so the two processes' shares differ.
    return replace(runs.config, epochs=2, limit_train=57, limit_eval=21)


@pytest.mark.parametrize(
    "change",
    [{}, {"method": "free", "m": 2}, {"method": "trades-yopo"}, {"method": "pgd", "augment": True}],
    ids=["yopo", "free", "trades-yopo", "pgd, augmented"],
)
def test_two_processes_equal_one_on_the_joint_mini_batches(tmp_path, config, change):
    if change.get("method") == "free":  # a process remembers η by its own rows, so they must be the same ones
        change = {**change, "batch_size": 19}
    config = replace(config, **change)
    found = on_two(tmp_path / "two", config)
    two, one = load_checkpoint(tmp_path / "two"), alone(tmp_path / "one", config)
    replays = config.m if config.method == "free" else 1
    assert found["exchanges"] == found["steps"] * replays  # once a weight step, not once a pass
    if config.batch_size == 16:
        assert found["rows"] == [[0, 4, 9], [4, 9, 9]]
    for name, value in one["model"].items():
        torch.testing.assert_close(two["model"][name], value, rtol=1e-3, atol=1e-4, msg=name)
    for ours, theirs in zip(two["progress"]["log"], one["progress"]["log"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["clean"] == pytest.approx(theirs["clean"])
        assert ours["train_accuracy"] == pytest.approx(theirs["train_accuracy"])


def test_two_processes_resume_bit_for_bit(tmp_path, config):
    on_two(tmp_path / "whole", config)
    half = replace(config, epochs=1)
    on_two(tmp_path / "parts", half)
    state = torch.load(tmp_path / "parts" / "last.pt")
    torch.save({**state, "config": config.to_dict()}, tmp_path / "parts" / "last.pt")
    on_two(tmp_path / "parts", config)
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
    assert len(whole["processes"]) == 2
    trainer = Trainer(config, prepare_data(config), tmp_path / "parts", show=False)
    with pytest.raises(CheckpointError, match="of a run on 2 processes, this one is on 1"):
        trainer.resume()


@pytest.mark.parametrize("total", [1, 2, 5, 16])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_row_is_one_processs(total, count):
    parts = [Processes(rank, count).rows(total) for rank in range(count)]
    assert [row for start, stop in parts for row in range(start, stop)] == list(range(total))
    sizes = [stop - start for start, stop in parts]
    assert max(sizes) - min(sizes) <= 1
