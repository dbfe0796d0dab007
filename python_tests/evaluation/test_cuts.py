# SPDX-License-Identifier: MIT
"""What cuts buy, and the choice of m, n and a cut: against steps written out."""

import json
from itertools import pairwise

import pytest
import torch
from passes import batch
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext.adversaries import random_start
from yopo_ext.evaluation import cut_report, cut_tuning, plot_cuts, staleness, tune_cut
from yopo_ext.evaluation.cut_tuning import PASSES, REFERENCE_STEPS, STEPS, Setting, step_for
from yopo_ext.evaluation.prefix_share import inner_units, prefix_share

EPS, ALPHA, N = 0.2, 0.06, 3
# Multiply-adds an image: 2 · 6 · 9 · 36, 6 · 8 · 9 · 4, 32 · 3.
ADDS = (3888, 1728, 96)


def network():
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Tanh(),
        nn.Flatten(), nn.Linear(32, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        model[0].weight *= 8
        model[2].weight *= 3
    return model


def start_of(x):
    return random_start(x, eps=EPS, generator=torch.Generator().manual_seed(0))


def sign_step(x, eta, g, alpha):
    return torch.clamp((eta + alpha * g.sign()).clamp(-EPS, EPS), -x, 1 - x)


def loss_at(model, x, y, eta):
    with torch.no_grad():
        return cross_entropy(model(x + eta), y).item()


def fresh_losses(model, x, y, eta, alpha, steps):
    losses = [loss_at(model, x, y, eta)]
    for _ in range(steps):
        leaf = eta.clone().requires_grad_()
        eta = sign_step(x, eta, torch.autograd.grad(cross_entropy(model(x + leaf), y), leaf)[0], alpha)
        losses.append(loss_at(model, x, y, eta))
    return losses


def crafted_gain(model, depth, x, y, m, n, alpha):
    """m passes and n frozen steps in model[:depth] after each, written out."""
    eta = start_of(x)
    for _ in range(m):
        output = model[:depth](x + eta).detach().requires_grad_()
        p = torch.autograd.grad(cross_entropy(model[depth:](output), y), output)[0]
        for _ in range(n):
            leaf = eta.clone().requires_grad_()
            g = torch.autograd.grad((model[:depth](x + leaf) * p).sum(), leaf)[0]
            eta = sign_step(x, eta, g, alpha)
    return loss_at(model, x, y, eta) - loss_at(model, x, y, start_of(x))


def test_the_report_is_of_staleness_cost_and_fresh_steps(tmp_path):
    model, (x, y) = network(), batch()
    report = cut_report(model, x, y, cuts=["3", "0", "1"], eps=EPS, alpha=ALPHA, n=N)
    assert model.training
    model.eval()
    total = sum(ADDS)
    expected = {"0": (ADDS[0] / total, True), "1": (ADDS[0] / total, False), "3": (sum(ADDS[:2]) / total, False)}
    assert [(v.cut.name, v.cut.share, v.cut.linear) for v in report.values] == [
        (name, pytest.approx(share), linear) for name, (share, linear) in expected.items()
    ]
    assert [v.cut.kernel for v in report.values] == [True, True, False]
    for value, depth in zip(report.values, (1, 2, 4), strict=True):
        own = staleness(model, tuple(model[:depth]), x, y, eps=EPS, alpha=ALPHA, n=N)
        assert value.staleness == own
        assert value.bought == pytest.approx(sum(own.gain) - sum(own.repeated_gain))
    linear, _, deep = report.values
    assert linear.bought == pytest.approx(0, abs=1e-12)
    assert linear.bought_per_unit is None
    assert deep.bought > 1e-3
    assert deep.bought_per_unit == pytest.approx(deep.bought / ((2 * N - 1) * sum(ADDS[:2]) / total))
    losses = fresh_losses(model, x, y, start_of(x), ALPHA, N)
    assert report.start == pytest.approx(losses[0])
    assert report.fresh_gain == pytest.approx([after - before for before, after in pairwise(losses)])
    assert json.loads(json.dumps(report.to_dict()))["cuts"][2]["bought"] == deep.bought
    assert report.to_table().splitlines()[4].split()[0] == "0"
    plot_cuts(report, tmp_path / "cuts.png", title="a network")
    assert (tmp_path / "cuts.png").read_bytes()[:4] == b"\x89PNG"


def test_without_names_it_is_all_that_are_not_too_deep():
    model, (x, y) = network(), batch()
    with pytest.raises(ValueError, match="Sequential has none whose inner step costs at most one forward pass"):
        cut_report(model, x, y, eps=EPS, alpha=ALPHA, n=1)
    model[6] = nn.Sequential(nn.Linear(32, 200), nn.Linear(200, 3)).double()  # much that is behind the cuts
    assert [v.cut.name for v in cut_report(model, x, y, eps=EPS, alpha=ALPHA, n=1).values] == [*"012345"]


def test_costs():
    model, (x, _) = network().eval(), batch()
    assert prefix_share(model, tuple(model), x) == 1
    assert (inner_units(0.25, 4, linear=False), inner_units(0.25, 4, linear=True)) == (2.0, 0.25)
    assert (inner_units(0.25, 0, linear=False), inner_units(0.25, 0, linear=True)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="model: Tanh makes no multiply-adds"):
        prefix_share(nn.Tanh(), [nn.Tanh()], x)


def test_the_choice_is_the_cheapest_that_gains_enough():
    model, (x, y) = network(), batch()
    tuning = tune_cut(model, x, y, cuts=["1", "4"], eps=EPS, share=0.9)
    model.eval()
    losses = fresh_losses(model, x, y, start_of(x), step_for(EPS, REFERENCE_STEPS), REFERENCE_STEPS)
    assert tuning.reference == pytest.approx(losses[-1] - losses[0])
    assert len(tuning.settings) == 2 * len(PASSES) * len(STEPS)
    shares = {"1": ADDS[0] / sum(ADDS), "4": sum(ADDS[:2]) / sum(ADDS)}
    for setting in tuning.settings:
        m, n, alpha = setting.m, setting.n, min(EPS, 2.5 * EPS / (setting.m * setting.n))
        gain = crafted_gain(model, int(setting.cut) + 1, x, y, m, n, alpha)
        units = m * (2 + (2 * n - 1) * shares[setting.cut])
        assert setting == Setting(m, n, setting.cut, alpha, pytest.approx(units), pytest.approx(gain))
    assert tuning.suffices
    enough = [one for one in tuning.settings if one.gain >= 0.9 * tuning.reference]
    assert tuning.chosen == min(enough, key=lambda one: (one.units, -one.gain))
    assert [one.units for one in tuning.front] == sorted({one.units for one in tuning.front})
    marked = [line for line in tuning.to_table().splitlines() if line.startswith(">")]
    assert len(marked) == 1
    assert marked[0].split()[1:4] == [tuning.chosen.cut, str(tuning.chosen.m), str(tuning.chosen.n)]
    assert tuning.to_dict()["chosen"]["units"] == tuning.chosen.units


def test_where_none_gains_enough_it_is_the_one_that_gains_most(monkeypatch):
    model, (x, y) = network(), batch()
    monkeypatch.setattr(cut_tuning, "REFERENCE_STEPS", 40)  # more than all that are tried, of the same size
    tuning = tune_cut(model, x, y, cuts=["1"], eps=EPS, alpha=0.001, share=1.0)
    assert not tuning.suffices
    assert tuning.chosen.gain == max(one.gain for one in tuning.settings)
    assert {one.alpha for one in tuning.settings} == {0.001}
    assert "none gains 100 %" in tuning.to_table()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuts": ["1", "1"]}, "cuts: got 1, 1, expected each once"),
        ({"cuts": []}, "cuts: got none"),
        ({"cuts": ["9"]}, "cut: got '9', expected the name of a module of Sequential"),
        ({"share": 0.0}, "share: got 0, expected above 0 and at most 1"),
        ({"eps": 0.0}, "eps: got 0, at which 10 steps along fresh gradients gain no loss"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    model, (x, y) = network(), batch()
    with pytest.raises(ValueError, match=message):
        tune_cut(model, x, y, **{"cuts": ["1"], "eps": EPS, **options})
    assert model.training
