# SPDX-License-Identifier: MIT

import errno
import json
import os
import stat
from contextlib import nullcontext

import pytest
import torch

from yopo_ext import atomic_files as atomic
from yopo_ext.cli import main
from yopo_ext.training import Run, TrainingError, load_checkpoint, run_job
from yopo_ext.training.files import WriteError, write_atomically, write_text_atomically
from yopo_ext.training.runs import run_all


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_missing_parents_are_made_before_the_first_epoch(runs):
    folder = runs.root / "a" / "b" / "c"
    trainer = Run(runs.config, folder, runs.data(runs.config), show=False).trainer
    assert list(folder.iterdir()) == []
    trainer.fit()
    assert set(contents(folder)) == {"last.pt", "metrics.jsonl"}


def test_a_folder_that_cannot_be_is_refused_at_once(runs):
    (runs.root / "file").write_text("in the way")
    for folder, reason in (("file", "File exists"), ("file/run", "Not a directory")):
        with pytest.raises(WriteError, match=f"{folder} cannot be written: {reason}"):
            Run(runs.config, runs.root / folder, runs.data(runs.config), show=False)


def test_a_used_folder_is_not_overwritten(runs):
    runs.finished("run")
    before = contents(runs.root / "run")
    trainer = runs.trainer("run", seed=1)
    with pytest.raises(FileExistsError, match=r"run holds a run already \(last.pt\): resume it or name another folder"):
        trainer.fit()
    with pytest.raises(FileExistsError, match="holds a run already"):
        run_job(runs.config, runs.root / "run", compare_natural=False, resume=False, show=False)
    assert contents(runs.root / "run") == before


def test_of_two_that_start_at_once_one_has_the_folder(runs, monkeypatch):
    """Both have found it empty."""
    run_job(runs.config, runs.root / "run", compare_natural=False, resume=False, show=False)
    before = contents(runs.root / "run")
    monkeypatch.setattr(run_all, "_require_unused", lambda *_: None)
    with pytest.raises(FileExistsError, match="run holds a run already: resume it"):
        run_job(runs.config, runs.root / "run", compare_natural=False, resume=False, show=False)
    assert contents(runs.root / "run") == before


def test_a_trainer_may_go_on_in_its_own(runs):
    trainer = runs.interrupted("run", runs.config, 2)
    trainer.fit()
    assert len(trainer.log) == 3


def fill(monkeypatch, left):
    """From now on the system takes so many bytes."""

    class Full(atomic._RawFile):
        def _system_write(self, data):
            nonlocal left
            left -= len(data)
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super()._system_write(data)

    monkeypatch.setattr(atomic, "_RawFile", Full)


@pytest.mark.parametrize("left", [0, 10_000, 40_000])
def test_a_full_disk_says_so_and_leaves_no_partial_file(runs, monkeypatch, left):
    stopped = runs.interrupted("run", runs.config, 4)
    before = contents(stopped.folder)
    resumed = runs.trainer("run")
    resumed.resume()
    fill(monkeypatch, left)
    path = stopped.folder / "last.pt"
    with pytest.raises(TrainingError) as caught:
        resumed.fit()
    assert str(caught.value) == (
        f"{path} cannot be written: the disk is full (No space left on device); the last good checkpoint is {path}"
    )
    assert contents(stopped.folder) == before
    assert load_checkpoint(path)["progress"]["epoch"] == 1


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    fill(monkeypatch, 5_000)
    command = ["train", "-m", "1", "-n", "1", "--limit-train", "40", "--limit-eval", "20", "--epochs", "1"]
    assert main([*command, "--no-compare-natural", "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err == (
        f"yopo: {tmp_path / 'run' / 'last.pt'} cannot be written: the disk is full (No space left on device); "
        "no checkpoint had been written yet\n"
    )
    assert set(contents(tmp_path / "run")) == {"config.json"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_the_system_s_own_full_device(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_RawFile", lambda path, mode: RAW("/dev/full", mode))
        with pytest.raises(WriteError, match="file cannot be written: the disk is full"):
            write_atomically(tmp_path / "file", lambda file: torch.save({"a": torch.zeros(100_000)}, file))
    assert list(tmp_path.iterdir()) == []


RAW = atomic._RawFile


def test_what_is_no_fault_of_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "file", lambda file: 1 / 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_of_several_who_write_a_new_file_one_does(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    write_text_atomically(tmp_path / "file", "first", new=True)
    with pytest.raises(FileExistsError):
        write_text_atomically(tmp_path / "file", "second", new=True)
    assert contents(tmp_path) == {"file": b"first"}


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_forced_to_disk(tmp_path, monkeypatch, number, refused):
    """As some network file systems have it."""
    force = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        force(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WriteError, match="file cannot be written") if refused else nullcontext():
        write_text_atomically(tmp_path / "file", "text")
    assert contents(tmp_path) == {"file": b"text"}


def test_a_resumed_run_has_its_log_and_nothing_half_written(runs):
    """As a process leaves it that was killed between the last epoch's checkpoint and its line."""
    trainer = runs.trainer("run")
    trainer.fit()
    log = trainer.folder / "metrics.jsonl"
    whole = log.read_text()
    log.write_text(whole[: whole.rindex("\n", 0, -1) + 1])
    (trainer.folder / ".last.pt.0123456789abcdef.tmp").write_text("half")
    (trainer.folder / ".kept.by.the.user.tmp").write_text("")
    resumed = runs.trainer("run")
    resumed.resume()
    resumed.fit()
    assert log.read_text() == whole
    assert {name for name in contents(trainer.folder) if name.endswith("tmp")} == {".kept.by.the.user.tmp"}


def test_a_start_that_was_killed_between_two_configurations_goes_on_as_it_was_meant(runs, monkeypatch):
    config, folder = runs.config, runs.root / "run"
    write = type(config).write

    def killed(self, path, **options):
        write(self, path, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(config), "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(config, folder, compare_natural=True, resume=False, show=False)
    assert not (folder / "natural" / "config.json").exists()
    assert main(["train", "--resume", str(folder)]) == 0
    assert set(json.loads((folder / "summary.json").read_text())) >= {config.method.name, "natural"}
