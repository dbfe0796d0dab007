# SPDX-License-Identifier: MIT
"""`yopo cuts` on runs: the report, the choice, and a training with what was chosen."""

import json

import pytest

from yopo_ext.evaluation.cut_tuning import Setting
from yopo_ext.training import change_config, cuts_of_run, load_checkpoint, read_run
from yopo_ext.training.runs.cuts_of_run import training_options

CUTS = ["features.conv1", "features.maxpool"]


@pytest.fixture
def folder(runs):
    """A run of digits whose checkpoint names its data as `yopo cuts` finds it."""
    runs.trainer("run", method="trades-yopo-1-2", epochs=1, milestones=()).fit()
    return runs.root / "run"


def test_the_command(folder, command, tmp_path):
    status, out, err = command("cuts", folder, "--limit", 20, "--cuts", *CUTS, "--plot", tmp_path / "c.png")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "digits-cnn on digits"
    assert lines[1].startswith("20 images, eps 0.1, alpha 0.02, n 5;")
    assert [line.split()[0] for line in lines[5:7]] == CUTS
    assert (lines[5].split()[-1], lines[6].split()[-1]) == ("kernels", "autograd")
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    status, out, _ = command("cuts", folder, "--limit", 20, "--cuts", *CUTS, "--tune", 0.5, "--json", "--n", 2)
    found = json.loads(out)
    assert found["report"]["n"] == 2
    assert found["report"] == cuts_of_run(folder, cuts=CUTS, n=2, limit=20).report.to_dict()
    assert found["tuning"]["settings_to_train"].startswith("--method trades-yopo-")


def test_what_is_chosen_is_trained(folder, command, tmp_path):
    status, settings, _ = command(
        "cuts", folder, "--limit", 20, "--cuts", CUTS[1], "--tune", 0.5, "--settings", "--alpha", "0.05"
    )
    assert status == 0
    out = tmp_path / "tuned"
    small = "--epochs 1 --limit-train 32 --limit-eval 8 --curve-steps 1 --eval-steps 1 --eps 0.1 --no-compare-natural"
    status, _, err = command("train", "--device", "cpu", *small.split(), *settings.split(), "--out", out)
    assert (status, err) == (0, "")
    tuned = read_run(out / "config.json")
    assert (tuned["method"], tuned["cut"], tuned["alpha"]) == ("trades-yopo", CUTS[1], 0.05)
    assert load_checkpoint(out / "last.pt")["progress"]["log"][-1]["loss"] > 0


def test_yopo_has_one_pass_more_than_what_crafts_apart(runs):
    chosen = Setting(2, 3, "features.conv2", 0.0125, 5.0, 0.1)
    for method, expected in (
        ("trades-yopo-1-1", "--method trades-yopo-2-3 --cut features.conv2 --alpha 0.0125"),
        ("yopo-1-1", "--method yopo-3-3 --cut features.conv2 --alpha 0.0125"),
        ("free-yopo-1-1", "--method free-yopo-3-3 --cut features.conv2 --alpha 0.0125"),
        ("fast", "--method yopo-attack-2-3 --cut features.conv2 --alpha 0.0125"),
    ):
        assert training_options(change_config(runs.config, method=method, alpha=0.02), chosen) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuts", "features.conv9"], "yopo: cut: got 'features.conv9', expected the name of a module of DigitsCNN"),
        (["--n", "0"], "yopo: --n: got 0, expected at least 1"),
        (["--limit", "0"], "yopo: --limit: got 0, expected at least 1"),
        (["--settings"], "yopo: --settings: goes with --tune SHARE, and without --json"),
        (["--tune", "1.5"], "yopo: --tune: got 1.5, expected above 0 and at most 1"),
    ],
)
def test_wrong_arguments_are_named(folder, command, arguments, message):
    status, _, err = command("cuts", folder, "--limit", 8, "--cuts", CUTS[0], *arguments)
    assert status == 2
    assert err.startswith(message)
