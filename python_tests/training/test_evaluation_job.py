# SPDX-License-Identifier: MIT

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from image_files import write_idx_set
from robustness import robust

from yopo_ext.data import draw_part, load_dataset
from yopo_ext.evaluation import (
    AutoAttack,
    FGSMAttack,
    NormalisationWarning,
    PGDAttack,
    accuracy,
    measure,
    sweep,
    transfer_matrix,
)
from yopo_ext.models import Normalize, WeightsError
from yopo_ext.training import (
    CheckpointError,
    EvaluationPlan,
    change_config,
    evaluate_run,
    load_checkpoint,
    make_config,
    open_networks,
    open_run,
    open_weights,
    run_evaluation,
    run_job,
)
from yopo_ext.training.runs.subjects import short_names
from yopo_ext.training.runs.trained import measured_weights

CONFIG = make_config(
    method="natural", eps=0.1, epochs=3, batch_size=32, limit_train=900, limit_eval=60, curve_every=9, curve_steps=1,
    eval_steps=1, lr=0.1, keep_epochs=True,
)  # fmt: skip
PGD = PGDAttack(0.1, steps=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that keeps its epochs."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    run_job(CONFIG, folder, compare_natural=False, resume=False, show=False)
    return folder


@pytest.fixture
def subject(folder):
    return open_run(folder)


def test_a_runs_network_and_images(folder, subject):
    assert (subject.name, subject.dataset, subject.eps, subject.norm, subject.own) == (
        "digits-cnn on digits", "digits", 0.1, "linf", True,
    )  # fmt: skip
    assert torch.equal(subject.images.images, draw_part(load_dataset("digits").test, 60).images)
    assert len(open_run(folder / "last.pt", limit=7).images) == 7
    state = load_checkpoint(folder / "last.pt")["model"]
    assert all(torch.equal(value, state[name]) for name, value in subject.model.state_dict().items())
    assert accuracy(subject.model, subject.images) > 30


def test_the_average_is_measured_where_a_run_kept_one(tmp_path):
    run_job(change_config(CONFIG, epochs=1, ewa_decay=0.5), tmp_path, compare_natural=False, resume=False, show=False)
    found, state = open_run(tmp_path).model.state_dict(), load_checkpoint(tmp_path)
    assert not torch.equal(found["features.conv1.weight"], state["model"]["features.conv1.weight"])
    assert torch.equal(found["features.conv1.weight"], measured_weights(state)["features.conv1.weight"])
    (network,) = open_networks([tmp_path], load_dataset("digits").test, "digits").values()
    assert torch.equal(network.state_dict()["features.conv1.weight"], found["features.conv1.weight"])
    last = open_run(tmp_path, last_weights=True).model.state_dict()
    assert all(torch.equal(value, state["model"][name]) for name, value in last.items())
    (network,) = open_networks([tmp_path], load_dataset("digits").test, "digits", last_weights=True).values()
    assert torch.equal(network.state_dict()["features.conv1.weight"], last["features.conv1.weight"])
    subject = open_run(tmp_path, last_weights=True)
    assert evaluate_run(tmp_path, (), last_weights=True).clean == accuracy(subject.model, subject.images)


def test_weights_of_others(folder, tmp_path):
    torch.save({"state_dict": load_checkpoint(folder)["model"]}, tmp_path / "w.pt")
    subject = open_weights(tmp_path / "w.pt", model="digits-cnn", dataset="digits", limit=60)
    assert (subject.eps, subject.own, subject.name) == (None, False, "digits-cnn on digits")
    assert accuracy(subject.model, subject.images) == accuracy(open_run(folder).model, subject.images)
    normalised = open_weights(
        tmp_path / "w.pt", model="digits-cnn", dataset="digits", mean=[0.3], std=[0.4], activation="tanh"
    )
    assert isinstance(normalised.model.first_layer[0], Normalize)
    assert isinstance(normalised.model.first_layer[2], torch.nn.Tanh)
    assert len(normalised.images) == 360


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vgg"}, "model: got 'vgg', expected one of digits-cnn, "),
        ({"dataset": "imagenet"}, "dataset: got 'imagenet', expected one of cifar10, "),
        ({"dataset": "mnist"}, "--data-dir"),
        ({"model": "smallcnn"}, "takes 28x28 images"),
        ({"model": "resnet18"}, "does not fit the network: missing"),
        ({"limit": 0}, "count: got 0, expected at least 1"),
        ({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}, "mean: got 3 values, expected 1, one a channel"),
        ({"mean": [0.1]}, "mean and std go together"),
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"prefix": "net."}, "no key begins with the prefix"),
        ({"activation": "swish"}, "activation: got 'swish', expected one of relu, "),
    ],
)
def test_weights_that_are_refused(folder, change, message):
    with pytest.raises(ValueError, match=message):
        open_weights(folder / "last.pt", **{"model": "digits-cnn", "dataset": "digits", **change})
    with pytest.raises(WeightsError, match="no such file"):
        open_weights(folder / "gone.pt", model="digits-cnn", dataset="digits")


def test_networks_of_epochs_and_of_runs(folder, subject, tmp_path):
    networks = open_networks([folder / "epochs"], subject.images, "digits")
    assert list(networks) == ["epoch 1", "epoch 2", "epoch 3"]
    for (_, model), file in zip(networks.items(), sorted((folder / "epochs").iterdir()), strict=True):
        state = load_checkpoint(file)["model"]
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    mixed = open_networks([folder, folder / "epochs" / "001.pt"], subject.images, "digits")
    assert list(mixed) == ["one", "epoch 1"]
    with pytest.raises(ValueError, match="networks to compare must differ"):
        open_networks([folder, folder / "last.pt"], subject.images, "digits")
    with pytest.raises(ValueError, match="of a run on digits, expected mnist"):
        open_networks([folder], subject.images, "mnist")
    with pytest.raises(CheckpointError, match=r"holds neither last.pt nor an epoch's checkpoint like 001.pt"):
        open_networks([tmp_path], subject.images, "digits")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        open_networks([tmp_path / "gone"], subject.images, "digits")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["/r/a/last.pt", "/r/b/last.pt"], ["a", "b"]),
        (["/r/a/last.pt", "/q/a/last.pt"], ["r/a", "q/a"]),
        (["/r/a/epochs/001.pt", "/r/a/epochs/012.pt"], ["epoch 1", "epoch 12"]),
        (["/r/a/epochs/001.pt", "/r/b/epochs/001.pt"], ["a/epoch 1", "b/epoch 1"]),
        (["/r/a/best.pt", "/r/a/last.pt"], ["best", "a"]),
        (["/r/a/last.pt"], ["a"]),
    ],
)
def test_short_names_tell_networks_apart(files, names):
    assert short_names([Path(file) for file in files]) == names


def test_everything_at_once_is_each_alone(folder, subject, tmp_path):
    networks = open_networks([folder / "epochs"], subject.images, "digits")
    attacks = (FGSMAttack(0.1), PGD, PGDAttack(0.1, steps=3, targets="all"))
    plan = EvaluationPlan(attacks, {"eps": [0, 0.1], "steps": [1, 2]}, transfer=PGD, plots=tmp_path / "deep" / "plots")
    found = run_evaluation(subject, plan, networks=networks, batch_size=32)
    assert found.report == measure(subject.model, subject.images, attacks, check_normalisation=False)
    assert found.sweeps == (
        sweep(subject.model, subject.images, attacks[:2], "eps", [0, 0.1]),
        sweep(subject.model, subject.images, [PGD], "steps", [1, 2]),
    )
    assert found.transfer == transfer_matrix(networks, subject.images, PGD)
    assert found.transfer.accuracy[2][2] == robust(subject.model, subject.images, PGD)
    values = json.loads(found.to_json())
    assert values["clean"] == found.report.clean
    assert [one["over"] for one in values["sweeps"]] == ["eps", "steps"]
    assert values["transfer"]["names"] == ["epoch 1", "epoch 2", "epoch 3"]
    table = found.to_table()
    assert table.count("\n\n") == 3
    assert "worst case" in table
    pictures = {"examples.png", "eps.png", "steps.png", "transfer.png"}
    assert {path.name for path in plan.plots.iterdir()} == pictures
    assert all((plan.plots / name).read_bytes()[:4] == b"\x89PNG" for name in pictures)


@pytest.mark.parametrize("batch_size", [16, 60])
def test_the_bar_ends_where_the_work_does(folder, subject, monkeypatch, batch_size):
    bars = []

    class Bar:
        def __init__(self, title, steps, done, *, show):
            self.steps, self.done, self.closed = steps, done, False
            bars.append(self)

        def step(self):
            self.done += 1

        def close(self):
            self.closed = True

    monkeypatch.setattr("yopo_ext.training.runs.evaluation_job.Progress", Bar)
    networks = open_networks([folder / "epochs"], subject.images, "digits")
    plans = [
        EvaluationPlan((FGSMAttack(0.1), PGD), {"eps": [0, 0, 0.1], "steps": [1, 2]}, transfer=PGD),
        EvaluationPlan(transfer=PGD),
        EvaluationPlan(),
    ]
    for plan in plans:
        run_evaluation(subject, plan, networks=networks, batch_size=batch_size)
    batches = -(-60 // batch_size)
    assert [bar.done for bar in bars] == [bar.steps for bar in bars] == [batches * rounds for rounds in (12, 1, 1)]
    assert all(bar.closed for bar in bars)


def test_a_transfer_matrix_alone(folder, subject):
    networks = open_networks([folder / "epochs"], subject.images, "digits")
    found = run_evaluation(subject, EvaluationPlan(transfer=PGD), networks=networks)
    assert found.report is None
    assert json.loads(found.to_json())["transfer"]["images"] == 60
    assert found.to_table() == found.transfer.to_table()


def test_clean_accuracy_alone(subject):
    found = run_evaluation(subject, EvaluationPlan())
    assert found.report.robust == {}
    assert found.report.clean == accuracy(subject.model, subject.images)


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        (EvaluationPlan((PGD,), {"eps": [-1]}), ValueError, "eps: got -1"),
        (EvaluationPlan((FGSMAttack(0.1),), {"steps": [1]}), ValueError, "at least one value and one attack"),
        (EvaluationPlan(transfer=PGD), ValueError, "at least two networks, got 0"),
        (EvaluationPlan(plots=Path("plots")), ValueError, "nothing to draw"),
        (EvaluationPlan((PGD, AutoAttack(0.1)), plots=Path("plots")), ImportError, r"yopo-ext\[autoattack\]"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(subject, tmp_path, monkeypatch, plan, error, message):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    monkeypatch.chdir(tmp_path)
    calls = []
    subject.model.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        run_evaluation(subject, plan)
    assert not calls
    assert not list(tmp_path.iterdir())


class TrainedOnNormalised(torch.nn.Module):
    """What a network becomes whose training saw normalised images."""

    def __init__(self, model, images):
        super().__init__()
        self.model, x = model, images.images / 255
        self.mean, self.deviation = x.mean(), x.std()

    def forward(self, x):
        return self.model(x * self.deviation + self.mean)


def test_only_weights_of_others_are_doubted(folder):
    subject = open_run(folder, limit=360)
    model = TrainedOnNormalised(subject.model, subject.images)
    with pytest.warns(NormalisationWarning):
        found = run_evaluation(replace(subject, model=model, own=False), EvaluationPlan())
    assert f"on {accuracy(subject.model, subject.images):.1f} % when they are normalised" in found.report.warnings[0]
    assert not run_evaluation(replace(subject, model=model), EvaluationPlan()).report.warnings
    assert not run_evaluation(replace(subject, own=False), EvaluationPlan()).report.warnings


def test_files_that_moved(tmp_path):
    write_idx_set(tmp_path / "data", "train", 12)
    write_idx_set(tmp_path / "data", "t10k", 6)
    config = change_config(
        CONFIG, dataset="mnist", data_dir=str(tmp_path / "data"), model="mnist-cnn", batch_size=6, epochs=1
    )
    run_job(config, tmp_path / "run", compare_natural=False, resume=False, show=False)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert len(open_run(tmp_path / "run", data_dir=str(tmp_path / "moved")).images) == 6
    with pytest.raises(ValueError, match="no such folder"):
        open_run(tmp_path / "run")
