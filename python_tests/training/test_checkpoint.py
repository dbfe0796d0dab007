# SPDX-License-Identifier: MIT

import os
import pickle
import random

import pytest
import torch

from yopo_ext.training import CheckpointError, TrainConfig, load_checkpoint
from yopo_ext.training.checkpoint import save_checkpoint
from yopo_ext.training.files import write_atomically, write_text_atomically

STATE = {
    "config": TrainConfig(milestones=(3, 5)).to_dict(),
    "model": {"weight": torch.arange(6.0)},
    "average": None,
    "optimizer": {},
    "loader": {},
    "generator": torch.zeros(3, dtype=torch.uint8),
    "delay": {},
    "best": {},
    "processes": [{}],
    "progress": {"log": [{"epoch": 1}]},
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    return path


def test_round_trip_from_a_file_or_its_folder(path):
    for place in (path, path.parent):
        state = load_checkpoint(place)
        assert state["config"] == TrainConfig(milestones=(3, 5))
        assert torch.equal(state["model"]["weight"], torch.arange(6.0))
        assert state["progress"] == {"log": [{"epoch": 1}]}


def refused(path, reason):
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file(tmp_path):
    refused(tmp_path / "last.pt", "no such checkpoint")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_truncated_and_random_files(path):
    content = path.read_bytes()
    draw = random.Random(0)
    damaged = [content[: len(content) * share // 8] for share in range(8)]
    damaged += [bytes(draw.randrange(256) for _ in range(draw.randrange(1, 60))) for _ in range(400)]
    for bad in damaged:
        path.write_bytes(bad)
        refused(path, "corrupt or foreign")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_foreign_file_is_executed(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save({**STATE, "extra": Malicious()}, path)
    refused(path, "corrupt or foreign")
    path.write_bytes(pickle.dumps(Malicious()))
    refused(path, "corrupt or foreign")
    assert not (path.parent / "executed").exists()


@pytest.mark.parametrize("foreign", [{"state_dict": {}}, [1, 2], torch.zeros(3)])
def test_checkpoints_of_other_programs(path, foreign):
    torch.save(foreign, path)
    refused(path, "not a checkpoint of this program")


def test_another_version_or_an_incomplete_state(path):
    content = torch.load(path, weights_only=True)
    torch.save({**content, "version": 99}, path)
    refused(path, "found version 99, expected 3")
    del content["generator"], content["loader"]
    torch.save(content, path)
    refused(path, "incomplete, without generator, loader")


def test_an_invalid_configuration(path):
    for config, reason in (({"eps": -1}, "eps must be at least 0"), ({"epsilon": 1}, "unknown settings: epsilon")):
        save_checkpoint(path, {**STATE, "config": config})
        refused(path, reason)


class Crash(BaseException):
    pass


@pytest.mark.parametrize("where", ["torch.save", "os.fsync", "os.replace"])
def test_a_crash_while_writing_leaves_the_old_one(path, monkeypatch, where):
    old = path.read_bytes()

    def crash(*args, **kwargs):
        if where == "torch.save":
            args[1].write(b"half of it")
        raise Crash

    monkeypatch.setattr(where, crash)
    with pytest.raises(Crash):
        save_checkpoint(path, {**STATE, "model": {}})
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == ["last.pt"]
    save_checkpoint(path, {**STATE, "model": {}})
    assert load_checkpoint(path)["model"] == {}


def test_the_new_file_is_whole_before_it_takes_the_name(tmp_path, monkeypatch):
    path = tmp_path / "file"
    events = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(a.read_bytes()), rename(a, b)))
    write_atomically(path, lambda file: file.write(b"content"))
    assert events == ["fsync", b"content", "fsync"]
    write_text_atomically(path, "α\n")
    assert path.read_bytes() == "α\n".encode()
