# SPDX-License-Identifier: MIT

import json
from dataclasses import replace

import pytest
import torch

from yopo_ext.data import Dataset
from yopo_ext.training import StopRequest, Trainer, load_checkpoint, run_job
from yopo_ext.training.best import Best


def test_patience():
    best = Best(2)
    assert [best.update(robust, epoch) for epoch, robust in enumerate((10.0, 30.0, 30.0, 20.0))] == [
        True, True, False, False,
    ]  # fmt: skip
    assert best.exhausted
    assert (best.robust, best.epoch) == (30.0, 1)
    again = Best(2)
    again.load_state_dict(best.state_dict())
    assert again.exhausted
    assert not Best(None).exhausted


@pytest.fixture
def followed(runs, monkeypatch):
    """A trainer whose robust accuracy on held-out images is given, epoch by epoch."""

    def build(robust, **changes):
        config = replace(runs.config, held_out=16, epochs=len(robust), **changes)
        figures = iter(robust)

        def measure(config, model, images, processes, stop):
            assert len(images) == 16
            return {"clean": 90.0, "fgsm": 0.0, "robust": next(figures)}

        monkeypatch.setattr("yopo_ext.training.trainer.measure", measure)
        data = runs.data(config)
        folder = runs.root / "run"
        folder.mkdir(exist_ok=True)
        data = Dataset(data.name, data.train.take(40), data.test, data.train.take(16))
        return Trainer(config, data, folder, show=False)

    return build


def test_best_and_last_are_kept(followed):
    trainer = followed([10.0, 30.0, 20.0])
    trainer.fit(StopRequest())
    assert len(load_checkpoint(trainer.folder / "best.pt")["progress"]["log"]) == 2
    assert len(load_checkpoint(trainer.folder / "last.pt")["progress"]["log"]) == 3
    assert trainer.best.epoch == 2


def test_training_ends_when_patience_is_over(followed):
    trainer = followed([10.0, 30.0, 20.0, 29.0, 99.0, 99.0], patience=2)
    trainer.fit(StopRequest())
    assert [line["robust"] for line in trainer.log] == [10.0, 30.0, 20.0, 29.0]
    assert trainer.is_done


@pytest.mark.parametrize(
    ("begins", "changes"),
    [(3, {"delay": 3}), (3, {"eps_warmup_epochs": 3}), (4, {"delay": 2, "eps_warmup_epochs": 1.5})],
)
def test_patience_and_best_begin_with_the_whole_attack(followed, begins, changes):
    # The 50 is of a network that has not met it.
    robust = [50.0, 0.0, 0.0, 10.0, 30.0, 20.0, 20.0, 99.0]
    trainer = followed(robust, patience=2, **changes)
    trainer.fit(StopRequest())
    assert [line["robust"] for line in trainer.log] == robust[:7]
    assert (trainer.best.robust, trainer.best.epoch) == (30.0, 5)
    assert trainer.best.epoch > begins


def test_the_test_set_decides_nothing(runs):
    trainer = runs.finished("run")
    assert not (trainer.folder / "best.pt").exists()
    assert trainer.best.robust is None


def test_a_job_measures_both_on_the_test_set(tmp_path, runs, capsys):
    config = replace(runs.config, held_out=100, limit_train=None, epochs=2, eval_steps=1)
    summary = run_job(config, tmp_path / "run", compare_natural=False, resume=False)
    assert set(summary["yopo"]["best"]) == {"clean", "robust", "epoch"}
    assert 1 <= summary["yopo"]["best"]["epoch"] <= 2
    assert "YOPO-2-2, best (epoch" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_every_epochs_weights_on_request(runs):
    trainer = runs.finished("run", replace(runs.config, keep_epochs=True))
    files = sorted(path.name for path in (trainer.folder / "epochs").iterdir())
    assert files == ["001.pt", "002.pt", "003.pt"]
    first, last = (load_checkpoint(trainer.folder / "epochs" / name)["model"] for name in (files[0], files[-1]))
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert all(torch.equal(value, last[name]) for name, value in trainer.model.state_dict().items())
