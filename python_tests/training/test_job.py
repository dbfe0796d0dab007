# SPDX-License-Identifier: MIT

import json
import signal

import pytest
import torch
from image_files import write_idx_set

from yopo_ext.data import draw_part, load_dataset, split_held_out
from yopo_ext.evaluation import PGDAttack
from yopo_ext.training import (
    CheckpointError,
    Interrupted,
    StopRequest,
    Trainer,
    change_config,
    evaluate_run,
    make_config,
    read_run,
    run_job,
)
from yopo_ext.training.host import stop_on_signals
from yopo_ext.training.runs import run_all
from yopo_ext.training.runs.prepare_data import prepare_data

FILES = {"config.json", "metrics.jsonl", "last.pt", "summary.json", "accuracy-time.png"}
PLACE = {"data_dir": None, "device": "cpu"}


@pytest.fixture
def config(runs):
    return change_config(runs.config, epochs=2)


def without_seconds(summary):
    """What clocks measured taken out."""
    return {
        name: {key: figure for key, figure in value.items() if key != "seconds"} if isinstance(value, dict) else value
        for name, value in summary.items()
        if name != "seconds"
    }


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("natural", [False, True])
def test_a_run_folder(tmp_path, config, natural, capsys):
    folder = tmp_path / "new" / "run"
    summary = run_job(config, folder, compare_natural=natural, resume=False)
    methods = ["yopo", "natural"] if natural else ["yopo"]
    assert names(folder) == (FILES | {"natural"} if natural else FILES)
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert list(summary) == [*methods, "eps", "seconds"]
    assert summary["eps"] == config.ball.eps
    assert summary["seconds"] > 0
    for name in methods:
        assert set(summary[name]) == {"clean", "robust", "seconds", "units"}
        assert 0 <= summary[name]["robust"] <= summary[name]["clean"] <= 100
    assert (folder / "accuracy-time.png").read_bytes()[:4] == b"\x89PNG"
    assert read_run(folder / "config.json") == config
    printed = capsys.readouterr().out
    assert "YOPO-2-2 epoch 2/2" in printed
    assert f"run folder: {folder}" in printed
    if natural:
        assert names(folder / "natural") == {"config.json", "metrics.jsonl", "last.pt"}
        assert read_run(folder / "natural" / "config.json") == change_config(config, method="natural")
        assert len((folder / "natural" / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_comparison_does_not_change_the_run(tmp_path, config):
    alone = run_job(config, tmp_path / "a", compare_natural=False, resume=False, show=False)
    beside = run_job(config, tmp_path / "b", compare_natural=True, resume=False, show=False)
    natural = change_config(config, method="natural")
    beside, alone = without_seconds(beside), without_seconds(alone)
    assert beside["yopo"] == alone["yopo"]
    separate = run_job(natural, tmp_path / "c", compare_natural=True, resume=False)
    assert beside["natural"] == without_seconds(separate)["natural"]
    assert not (tmp_path / "c" / "natural").exists()


def test_an_existing_run_is_not_overwritten(tmp_path, config):
    run_job(config, tmp_path, compare_natural=False, resume=False, show=False)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(FileExistsError, match=f"{tmp_path} holds a run already: resume it"):
        run_job(change_config(config, seed=7), tmp_path, compare_natural=False, resume=False)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_wrong_input_leaves_no_folder(tmp_path, config):
    for change, message in (
        ({"dataset": "mnist"}, "data_dir"),
        ({"model": "smallcnn"}, "smallcnn"),
        ({"held_out": 5000}, "held_out: got 5000"),
        ({"device": "warp"}, "warp"),
        ({"mean": (0.5,) * 3, "std": (1.0,) * 3}, "mean: got 3 values, expected one, or 1, one a channel"),
        ({"objective": "binary-cross-entropy"}, "objective: got binary-cross-entropy with 10 classes, expected two"),
        ({"objective": "g-sce", "sigma": (0.5, 0.5)}, "objective g-sce, network digits-cnn: sigma: got 2 values"),
    ):
        with pytest.raises(ValueError, match=message):
            run_job(change_config(config, **change), tmp_path / "run", compare_natural=False, resume=False)
        assert not (tmp_path / "run").exists()


def test_a_run_whose_checkpoint_is_gone_says_so(tmp_path, config):
    run_job(config, tmp_path, compare_natural=False, resume=False, show=False)
    (tmp_path / "last.pt").unlink()
    with pytest.raises(CheckpointError, match=r"last\.pt: no such checkpoint"):
        run_job(config, tmp_path, compare_natural=False, resume=True, show=False)


def stop_in_the_last_measurement(patch):
    measure = run_all.final_accuracies

    def stopping(config, model, images, processes, stop):
        stop.signal_number = signal.SIGTERM
        return measure(config, model, images, processes, stop)

    patch.setattr(run_all, "final_accuracies", stopping)


@pytest.mark.parametrize("checks", [3, 11, None], ids=["in yopo", "in natural", "in the last measurement"])
def test_an_interrupted_job_resumes_to_the_same_summary(tmp_path, config, runs, monkeypatch, checks):
    expected = run_job(config, tmp_path / "whole", compare_natural=True, resume=False, show=False)
    # Three looks in each of two epochs of either run and one after each.
    with monkeypatch.context() as patch:
        if checks is None:
            stop_in_the_last_measurement(patch)
        else:
            patch.setattr("yopo_ext.training.host.interrupt.StopRequest", lambda: runs.stop_after(checks))
        with pytest.raises(Interrupted):
            run_job(config, tmp_path / "parts", compare_natural=True, resume=False, show=False)
    assert not (tmp_path / "parts" / "summary.json").exists()
    assert (tmp_path / "parts" / "natural" / "last.pt").exists() == (checks is None or checks > 8)
    torch.manual_seed(99)
    summary = run_job(config, tmp_path / "parts", compare_natural=True, resume=True, show=False)
    assert without_seconds(summary) == without_seconds(expected)
    assert names(tmp_path / "parts") == FILES | {"natural"}


def test_resuming_under_other_settings_is_refused(tmp_path, config):
    run_job(config, tmp_path, compare_natural=False, resume=False, show=False)
    with pytest.raises(CheckpointError, match=r"of a run with other settings .*eps: 0.2 here, 0.1 there"):
        run_job(change_config(config, eps=0.2), tmp_path, compare_natural=False, resume=True, show=False)


def test_which_images_are_used(config):
    digits = load_dataset("digits")
    data = prepare_data(config)
    assert torch.equal(data.train.images, draw_part(digits.train, 56).images)
    assert torch.equal(data.test.images, draw_part(digits.test, 20).images)
    data = prepare_data(change_config(config, held_out=100, limit_train=None, limit_eval=None))
    train, held_out = split_held_out(digits.train, 100)
    assert torch.equal(data.train.images, train.images)
    assert torch.equal(data.validation.images, held_out.images)
    assert torch.equal(data.test.images, digits.test.images)


def test_files_from_a_folder(tmp_path):
    write_idx_set(tmp_path / "data", "train", 12)
    write_idx_set(tmp_path / "data", "t10k", 6)
    config = make_config(
        dataset="mnist", data_dir=str(tmp_path / "data"), method="yopo-1-1", epochs=1, batch_size=6, curve_steps=1,
        eval_steps=1,
    )  # fmt: skip
    run_job(config, tmp_path / "run", compare_natural=False, resume=False, show=False)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = {**PLACE, "data_dir": str(tmp_path / "moved"), "limit": None}
    assert evaluate_run(tmp_path / "run", **moved).images == 6
    with pytest.raises(ValueError, match="no such folder"):
        evaluate_run(tmp_path / "run", **PLACE)


def test_evaluating_a_run(tmp_path, config):
    summary = run_job(config, tmp_path, compare_natural=True, resume=False, show=False)
    for place in (tmp_path, tmp_path / "last.pt"):
        report = evaluate_run(place, **PLACE)
        assert (report.images, report.eps, report.alpha) == (20, 0.1, pytest.approx(0.125))
        assert (report.clean, report.worst) == (summary["yopo"]["clean"], summary["yopo"]["robust"])
    natural = evaluate_run(tmp_path / "natural", **PLACE)
    assert natural.clean == summary["natural"]["clean"]
    given = evaluate_run(tmp_path, [PGDAttack(0.0, alpha=0.5)], **PLACE, limit=5)
    assert (given.images, given.eps, given.alpha) == (5, 0.0, 0.5)
    assert given.worst == given.clean
    for change, message in (({"limit": 0}, "limit_eval"), ({"device": "warp"}, "device 'warp' cannot be used")):
        with pytest.raises(ValueError, match=message):
            evaluate_run(tmp_path, **{**PLACE, **change})


@pytest.fixture
def heard():
    """The signals that reach the handlers which were there before."""
    found = []
    before = [(number, signal.signal(number, lambda number, _: found.append(number))) for number in STOPS]
    yield found
    for number, handler in before:
        signal.signal(number, handler)


STOPS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_becomes_a_request_and_handlers_come_back(heard, monkeypatch, number):
    before = [signal.getsignal(one) for one in STOPS]
    with stop_on_signals() as stop:
        stop.check()
        assert not stop.requested
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}") as caught:
            stop.check()
        # Handed on by a launcher, whose group got it too: the same request.
        signal.raise_signal(number)
        assert heard == []
        monkeypatch.setattr("yopo_ext.training.host.interrupt.SAME_SIGNAL", 0.0)
        signal.raise_signal(number)
        assert heard == [number]
        assert [signal.getsignal(one) for one in STOPS] == before
    assert caught.value.signal_number == number
    assert [signal.getsignal(one) for one in STOPS] == before


def test_the_job_listens_to_signals(tmp_path, config, monkeypatch):
    fit = Trainer.fit

    def interrupted_fit(self, stop):
        assert isinstance(stop, StopRequest)
        signal.raise_signal(signal.SIGTERM)
        fit(self, stop)

    monkeypatch.setattr(Trainer, "fit", interrupted_fit)
    with pytest.raises(Interrupted):
        run_job(config, tmp_path, compare_natural=False, resume=False, show=False)
    assert (tmp_path / "last.pt").exists()
