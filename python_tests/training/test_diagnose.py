# SPDX-License-Identifier: MIT
"""`yopo diagnose` on runs: each method's own perturbation, epochs side by side, and what it refuses."""

import json
import sys

import pytest
import torch
from batch_norm_net import NAME as BATCH_NORM_NET
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries.method import METHODS
from yopo_ext.data import to_float
from yopo_ext.principle import maximum_principle
from yopo_ext.training import diagnose_run
from yopo_ext.training.runs.subjects import open_run
from yopo_ext.training.runs.trained import open_checkpoint

CHAIN = "conv1+bn1+relu1,conv2+bn2"


@pytest.fixture
def folder(runs):
    """A run of digits whose checkpoint names its data as `yopo diagnose` finds it."""
    trainer = runs.trainer("run", method="yopo-2-2", keep_epochs=True, epochs=2)
    trainer.fit()
    return runs.root / "run"


def test_yopo_s_last_pass_is_stale_and_pgd_s_is_not(folder):
    own = diagnose_run(folder, limit=40)
    assert own.method == "YOPO-2-2"
    assert own.stale.found.layers[0].state > 1e-4
    assert own.stale.drift > 1e-4
    assert all((one.state, one.costate) == (0, 0) for one in own.stale.found.layers[1:])
    assert own.found.worst("state") < 1e-6
    pgd = diagnose_run(folder, method="pgd-3", limit=40)
    assert (pgd.method, pgd.stale) == ("PGD-3", None)
    assert diagnose_run(folder, limit=40) == own


@pytest.mark.parametrize("method", METHODS.names)
def test_the_perturbation_of_every_method(folder, method):
    found = diagnose_run(folder, method=method, limit=20).found
    assert (found.adversary is None) == (method == "n-fgsm")
    assert found.worst("costate") < 1e-5
    assert found.worst("sgd") < 1e-5
    if method == "natural":
        assert found.adversary.found == found.adversary.clean
    elif found.adversary is not None:
        assert found.adversary.reached > 0


@pytest.mark.parametrize(
    ("start", "told"),
    [("zero", "start zero"), ("class", "start class"), ("shared", "start shared"), ("momentum", "from a random start")],
)
def test_the_run_s_own_start_and_what_it_remembers(runs, start, told, monkeypatch):
    runs.trainer("run", method="fast", start=start, epochs=2).fit()
    seen = {}
    module = sys.modules[diagnose_run.__module__]
    monkeypatch.setattr(
        module,
        "maximum_principle",
        lambda *args, **given: seen.update(given) or maximum_principle(*args, **given),
    )
    found = diagnose_run(runs.root / "run", limit=20)
    assert found.method == f"FastAT, {told}"
    if start == "momentum":
        return
    config, state = open_checkpoint(runs.root / "run")
    subject = open_run(runs.root / "run", limit=20)
    x, y, ball = to_float(subject.images.images), subject.images.labels, config.ball
    remembered = (state["processes"][0]["adversary"] or {}).get("eta")
    eta = {"zero": lambda: x * 0, "class": lambda: remembered[y], "shared": lambda: remembered[0] + x * 0}[start]()
    feasible = Ball(ball.eps, ball.alpha).feasible_set(x)
    eta = feasible.project(eta).requires_grad_()
    gradient = torch.autograd.grad(cross_entropy(subject.model.eval()(x + eta), y), eta)[0]
    assert torch.allclose(seen["eta"], feasible.project(eta.detach() + ball.alpha * gradient.sign()), atol=1e-6)


def test_the_command(folder, command, tmp_path):
    status, out, err = command("diagnose", folder, "--limit", 30, "--device", "cpu")
    assert (status, err) == (0, "")
    assert out.startswith("run, perturbation by YOPO-2-2\nlayer ")
    assert "since the last pass of YOPO-2-2 the perturbation has moved: state 1 is off by 0." in out
    status, out, err = command("diagnose", folder / "epochs", "--limit", 30, "--plot", tmp_path / "p.png")
    assert (status, [line.split("  ")[0] for line in out.splitlines()[2:]]) == (0, ["epoch 1", "epoch 2"])
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    status, out, err = command("diagnose", folder, "--json", "--method", "n-fgsm", "--limit", 30)
    (found,) = json.loads(out)
    assert found["found"]["adversary"] is None
    assert len(found["found"]["layers"]) == 5
    assert "leave the ball" in command("diagnose", folder, "--method", "n-fgsm", "--limit", 30)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chain", "features.conv1,nothing"), "chain: got 'nothing', expected names of modules of DigitsCNN"),
        (("--chain", "features.conv1,features.conv2"), "chain: part 1 (features.conv2): its output differs"),
        (("--limit", "0"), "--limit: got 0"),
        (("--method", "pgd-0"), "pgd_steps: got 0"),
    ],
)
def test_what_it_refuses(folder, command, words, message):
    status, out, err = command("diagnose", folder, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"yopo: {message}")


def test_a_network_with_batch_norm_and_parts_by_name(runs, command):
    folder = runs.root / "norm"
    runs.trainer("norm", method="yopo-2-2", model=BATCH_NORM_NET, epochs=1).fit()
    status, _, err = command("diagnose", folder)
    assert (status, err.count("\n")) == (2, 1)
    assert "BatchNormNet does not say what it is made of" in err
    status, _, err = command("diagnose", folder, "--chain", f"{CHAIN},flatten+linear")
    assert (status, "part 2 (linear): its output differs from the network's own" in err) == (2, True)
