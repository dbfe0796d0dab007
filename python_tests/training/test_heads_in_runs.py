# SPDX-License-Identifier: MIT
"""Runs whose network ends in centres: which head an objective takes, every method, resumed, read back, measured."""

import json

import batch_norm_net
import pytest
import torch
from same_runs import assert_equal, everything

from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.models import CentreScores, max_mahalanobis_centres
from yopo_ext.objectives import GSCE, MMC
from yopo_ext.training import (
    Processes,
    Run,
    StopRequest,
    change_config,
    config_from_dict,
    evaluate_run,
    make_config,
    open_run,
    open_weights,
)
from yopo_ext.training.runs.comparison import row_labels, row_names
from yopo_ext.training.runs.job import natural_twin
from yopo_ext.training.runs.measuring import final_accuracies
from yopo_ext.training.runs.trained import open_checkpoint

MMC_SETTINGS = {"objective": "mmc", "feature_dim": 16, "centre_norm": 2.0}


def test_an_objective_brings_its_head():
    config = make_config(objective="mmc", feature_dim=32)
    assert (config.head.name, config["feature_dim"], config["centre_norm"]) == ("max-mahalanobis", 32, 10.0)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert make_config().head.name == "linear"
    assert make_config(objective="g-sce", head="random-centres").head.name == "random-centres"
    assert make_config(head="max-mahalanobis").objective.name == "cross-entropy"  # which is MMLDA
    assert change_config(config, objective="cross-entropy").head.name == "linear"
    assert change_config(make_config(), objective="mmlda").head.name == "max-mahalanobis"
    chosen = make_config(objective="mmc", head="random-centres")
    assert change_config(chosen, objective="cross-entropy").head.name == "random-centres"
    twin = natural_twin(change_config(config, method="pgd-5"))
    assert (twin.method.name, twin.objective.name, twin.head) == ("natural", "mmc", config.head)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "mmc", "head": "linear"},
         "head: got linear with objective mmc, which reads distances to centres; expected one of max-mahalanobis"),
        ({"feature_dim": 3}, "feature_dim: head linear has no such setting; it belongs to max-mahalanobis"),
        ({"objective": "mmc", "label_smoothing": 0.1}, "label_smoothing: objective mmc has no such setting"),
        ({"objective": "mmc", "head": "centres"}, "head: got 'centres', expected one of"),
        ({"objective": "mmc", "centre_norm": 0.0}, "centre_norm: got 0.0"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings)


def test_too_few_features_are_refused_or_said(runs, capsys):
    with pytest.raises(ValueError, match=r"^feature_dim: got 1 for 10 classes, expected at least 2, better 9"):
        runs.run("refused", objective="mmc", feature_dim=1)
    assert not (runs.root / "refused").exists()
    config = change_config(runs.config, objective="mmc", feature_dim=8)
    run = Run(config, runs.root / "said", runs.data(config))
    assert "feature_dim: 8 features are fewer than the 9 that 10 centres need" in capsys.readouterr().out
    assert run.trainer.model.scores.centres.shape == (10, 8)


def test_the_network_s_features_are_the_last_layer_s_outputs(runs):
    run = runs.run(**MMC_SETTINGS)
    model = run.trainer.model
    assert model.classifier.fc2.out_features == 16
    assert torch.equal(model.scores.centres, max_mahalanobis_centres(10, 16, norm=2.0))
    x = torch.rand(2, 1, 8, 8)
    z = model.tail(model.features.relu1(model.features.conv1(x)))
    torch.testing.assert_close(model(x), -0.5 * (z[:, None] - model.scores.centres).square().sum(2))


EXTRAS = [
    {"method": "natural", "mixup": 0.5, "augment": True},
    {"method": "pgd-3", "accumulate": 2, "mixup": 0.5},
    {"method": "fast", "alpha": 0.1, "clip_grad_norm": 0.5, "head": "random-centres"},
    {"method": "yopo-2-2", "ewa_decay": 0.9, "staleness_every": 2},
    {"method": "yopo-2-2", "model": batch_norm_net.NAME, "objective": "g-sce", "sigma": (0.2,), "head": None},
    {"method": "yopo-2-2", "objective": "mmlda", "label_smoothing": 0.1, "amp": "bf16", "delay": 1},
    {"method": "trades-2", "objective": "trades", "beta": 1.0, "head": "max-mahalanobis"},
]  # fmt: skip


@pytest.mark.parametrize("extras", EXTRAS, ids=lambda extras: ", ".join(map(str, extras.values())))
def test_runs_learn_and_resume_bit_for_bit(runs, extras):
    given = {**MMC_SETTINGS, **extras}
    given = {name: value for name, value in given.items() if value is not None}
    config = change_config(runs.config, **given)
    whole = runs.finished("whole", config)
    assert whole.log[-1]["loss"] < whole.log[0]["loss"]
    expected = everything(whole)
    runs.interrupted("parts", config, 5)
    torch.manual_seed(12345)
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed), expected)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on digits with centres in random directions, which are in its checkpoint alone."""
    config = make_config(
        **MMC_SETTINGS, head="random-centres", method="natural", epochs=8, lr=0.05, batch_size=32, limit_train=600,
        limit_eval=40, curve_every=8, curve_steps=1, eval_steps=3, device="cpu", clip_grad_norm=1.0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = Run(config, folder, show=False)
    run.fit()
    return folder, run.trainer.model


def test_a_run_is_read_back_with_its_centres_and_its_loss(finished):
    folder, model = finished
    subject = open_run(folder)
    assert torch.equal(subject.model.scores.centres, model.scores.centres)
    assert (subject.objective, subject.losses) == (MMC(), ("ce", "objective"))
    report = evaluate_run(folder)
    assert list(report.robust) == ["PGD-3, ce", "PGD-3, objective"]
    assert report.clean > 80


def test_weights_alone_are_read_back_too(finished, tmp_path):
    folder, model = finished
    torch.save(model.state_dict(), tmp_path / "w.pt")
    own, read = open_run(folder), open_weights(tmp_path / "w.pt", model="digits-cnn", dataset="digits", limit=40)
    assert read.objective == MMC()
    attacks = [PGDAttack(0.1, steps=3, loss="objective")]
    one, other = (measure(one.model, own.images, attacks, objective=one.objective) for one in (own, read))
    assert (one.clean, one.robust) == (other.clean, other.robust)


def test_what_a_run_says_of_itself_withstands_all_its_losses(finished):
    folder, _ = finished
    subject = open_run(folder)
    config, _ = open_checkpoint(folder / "last.pt")
    found = final_accuracies(config, subject.model, subject.images, Processes(), StopRequest())
    report = evaluate_run(folder)
    assert found["robust"] == pytest.approx(report.worst)
    assert found["clean"] == report.clean


def test_a_run_with_centres_starts_from_a_network_without_and_back(runs, finished, tmp_path, capsys):
    _, model = finished
    torch.save(model.state_dict(), tmp_path / "centres.pt")
    plain = change_config(runs.config, init_weights=str(tmp_path / "centres.pt"))
    started = Run(plain, runs.root / "plain", runs.data(plain)).trainer.model
    assert torch.equal(started.features.conv1.weight, model.features.conv1.weight)
    assert not any(isinstance(one, CentreScores) for one in started.modules())
    assert "stay fresh, for 10 classes; the file's are for 16" in capsys.readouterr().out
    torch.save(started.state_dict(), tmp_path / "plain.pt")
    config = change_config(runs.config, **MMC_SETTINGS, init_weights=str(tmp_path / "plain.pt"))
    other = Run(config, runs.root / "centres", runs.data(config)).trainer.model
    assert torch.equal(other.features.conv1.weight, started.features.conv1.weight)
    assert torch.equal(other.scores.centres, max_mahalanobis_centres(10, 16, norm=2.0))
    assert "stay fresh, for 16 features; the file's are for 10" in capsys.readouterr().out


def test_evaluate_attacks_the_own_loss_beside_cross_entropy(finished, command, tmp_path):
    folder, _ = finished
    status, out, err = command("evaluate", folder, "--device", "cpu", "--density", "--plots", tmp_path, "--limit", 20)
    assert (status, err) == (0, "")
    rows = [line.rsplit(None, 1)[0].strip() for line in out.splitlines()[2:8]]
    assert rows == [
        "clean", "PGD-3, ce", "PGD-3, margin", "PGD-3, objective", "PGD-3, objective, targets: all", "worst case"
    ]  # fmt: skip
    assert "not confirmed by AutoAttack" in out
    assert "features (16 dimensions): median distance to their own of the network's centres" in out
    assert (tmp_path / "distances.png").stat().st_size > 1000
    status, out, _ = command("evaluate", folder, "--device", "cpu", "--losses", "objective", "--adaptive-targets",
                             "next", "--limit", 20, "--json")  # fmt: skip
    found = json.loads(out)
    assert list(found["robust"]) == ["PGD-3, objective", "PGD-3, objective, targets: next"]
    assert "features" not in found


def test_g_sce_s_values_reach_it(runs):
    run = runs.run(objective="g-sce", feature_dim=9, sigma=tuple(0.1 * k for k in range(1, 11)), offset=(1.0,))
    assert run.parts.ingredients.objective == GSCE(tuple(0.1 * k for k in range(1, 11)), (1.0,))


def test_rows_of_a_comparison_are_told_apart():
    settings = ({}, {"objective": "mmc"}, {"objective": "mmc", "head": "random-centres"})
    rows = [make_config(method="pgd-2", **one) for one in settings]
    assert row_labels(rows) == ["PGD-2", "PGD-2, objective mmc", "PGD-2, objective mmc, head random-centres"]
    assert len(set(row_names(rows))) == 3
