# SPDX-License-Identifier: MIT

import sys
from types import SimpleNamespace

import pytest

from yopo_ext.training.events import tensorboard


class Writer:
    """Stands in for torch's, which needs the package."""

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.scalars, self.open = folder, purge_step, [], True
        WRITERS.append(self)

    def add_scalar(self, name, value, epoch):
        self.scalars.append((name, value, epoch))

    def flush(self):
        assert self.open

    def close(self):
        self.open = False


WRITERS: list[Writer] = []


@pytest.fixture
def writers(monkeypatch):
    WRITERS.clear()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    return WRITERS


def test_every_number_of_the_log_is_written_once_also_by_a_resumed_run(runs, writers):
    runs.interrupted("run", runs.run("other", tensorboard=True).config, 6)
    resumed = runs.run("run", tensorboard=True)
    resumed.resume()
    resumed.fit()
    first, second = writers
    assert first.folder == second.folder == str(runs.root / "run" / tensorboard.FOLDER)
    assert (first.purge_step, second.purge_step) == (1, 2)
    written = [scalar for one in writers for scalar in one.scalars]
    assert len(set(written)) == len(written)
    for record in resumed.trainer.log:
        for name in ("loss", "clean", "curve_robust", "seconds", "lr"):
            assert (name, record[name], record["epoch"]) in written
    assert not second.open


def test_without_the_package_it_is_refused_before_work_starts(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"tensorboard needs the package .*pip install 'yopo-ext\[tensorboard\]'"):
        runs.run(tensorboard=True)
