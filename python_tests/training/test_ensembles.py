# SPDX-License-Identifier: MIT
"""Runs on ensembles: from the configuration to a transfer matrix between the members."""

from __future__ import annotations

import json

import batch_norm_net
import pytest
import torch
from same_runs import assert_equal, everything

from yopo_ext.cli import main
from yopo_ext.data import to_float
from yopo_ext.models import Ensemble
from yopo_ext.objectives import ensemble_diversity
from yopo_ext.training import Interrupted, Run, change_config, make_config, open_run

CONFIG = make_config(
    method="yopo-2-2", objective="adp", members=3, eps=0.1, alpha=0.05, epochs=2, batch_size=16, limit_train=48,
    limit_eval=20, curve_images=20, curve_steps=1, eval_steps=1, lr=0.02, milestones=(), device="cpu",
)  # fmt: skip
CHANGES = {
    "yopo": {},
    "staleness, averaged": {"staleness_every": 1, "ewa_decay": 0.5},
    "natural, batch norm": {"method": "natural", "model": batch_norm_net.NAME},
    "yopo, batch norm frozen": {"model": batch_norm_net.NAME},
    "yopo, batch norm of the batch": {"model": batch_norm_net.NAME, "bn_statistics": "batch"},
    "pgd": {"method": "pgd-2", "augment": True},
    "free": {"method": "free-2"},
    "fast": {"method": "fast"},
    "yopo, both gradients, normalised": {"first_layer_grad": "both", "mean": (0.5,), "std": (0.3,)},
    "half precision": {"amp": "bf16"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_resumes_bit_for_bit_and_logs_the_diversity(tmp_path, runs, name):
    config = change_config(CONFIG, **CHANGES[name])
    whole = Run(config, tmp_path / "whole", show=False)
    whole.fit()
    assert isinstance(whole.trainer.model, Ensemble)
    found = [line["diversity"] for line in whole.trainer.log]
    assert all(0 <= value <= 1 for value in found)
    with pytest.raises(Interrupted):
        Run(config, tmp_path / "parts", show=False, stop=runs.stop_after(4)).fit()
    resumed = Run(config, tmp_path / "parts", show=False)
    resumed.resume()
    resumed.fit()
    assert_equal(everything(resumed.trainer), everything(whole.trainer))


def test_the_diversity_is_the_mean_over_the_curve_s_images(tmp_path):
    run = Run(change_config(CONFIG, epochs=1), tmp_path, show=False)
    run.fit()
    images = run.parts.curve_images
    with torch.no_grad():
        outputs = run.trainer.model.eval()(to_float(images.images))
    expected = float(ensemble_diversity(outputs, images.labels).mean())
    assert run.trainer.log[0]["diversity"] == pytest.approx(expected)


def test_members_differ_and_each_seed_has_its_own(tmp_path):
    run = Run(CONFIG, tmp_path, show=False)
    first, second, third = (member.features.conv1.weight for member in run.trainer.model.members)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "cross-entropy"}, "members: got 3 with objective cross-entropy, which reads the outputs of one"),
        ({"members": 1}, "members: got 1 with objective adp, which reads the outputs of an ensemble's members"),
        ({"members": 0}, "members: got 0"),
        ({"method": "trades-2", "objective": "trades"}, "members: got 3 with objective trades"),
    ],
)
def test_what_does_not_go_together_is_refused_before_work(changes, message):
    with pytest.raises(ValueError, match=message):
        change_config(CONFIG, **changes)


def test_a_number_of_members_that_does_not_divide_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="members: got 2, which does not divide 9"):
        Run(change_config(CONFIG, members=2), tmp_path, show=False)


def test_the_transfer_matrix_between_members(tmp_path, capsys):
    Run(change_config(CONFIG, method="natural", lr=0.1, epochs=4, limit_train=900), tmp_path / "run", show=False).fit()
    words = [
        "evaluate",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--attacks",
        "fgsm",
        "--losses",
        "ce",
        "--limit",
        "40",
    ]
    assert main([*words, "--member-transfer", "--plots", str(tmp_path / "plots"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["transfer"]
    assert found["names"] == ["member 1", "member 2", "member 3", "ensemble"]
    assert (tmp_path / "plots" / "transfer.png").is_file()
    subject = open_run(tmp_path / "run", limit=40)
    images = subject.images
    with torch.no_grad():
        for index, member in enumerate(subject.model.eval().members):
            right = (member(to_float(images.images)).argmax(1) == images.labels).float().mean()
            assert found["clean"][index] == pytest.approx(100 * float(right))
    own = [found["accuracy"][index][index] for index in range(4)]
    assert min(found["clean"]) > 30
    assert all(own[index] <= found["clean"][index] for index in range(4))


def test_a_matrix_between_members_needs_some(tmp_path, capsys):
    config = change_config(CONFIG, objective="cross-entropy", members=1, epochs=1)
    Run(config, tmp_path / "one", show=False).fit()
    assert main(["evaluate", str(tmp_path / "one"), "--device", "cpu", "--member-transfer"]) == 2
    assert "is no ensemble, expected a run with --members" in capsys.readouterr().err
