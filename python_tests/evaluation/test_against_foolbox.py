# SPDX-License-Identifier: MIT
"""Our PGD beside foolbox's: the same perturbations from the same start, the same accuracy from random ones."""

import pytest
import torch
from robustness import robust

from yopo_ext.adversaries import pgd
from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import PGDAttack
from yopo_ext.models import DigitsCNN

foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed: pip install 'yopo-ext[test]'")

ATTACKS = {"linf": (foolbox.attacks.LinfPGD, 0.1), "l2": (foolbox.attacks.L2PGD, 0.8)}


@pytest.fixture(scope="module")
def trained():
    data = load_dataset("digits")
    torch.manual_seed(0)
    model = DigitsCNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, y = to_float(data.train.images), data.train.labels
    for batch in torch.randperm(len(x)).repeat(4).split(64):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model.eval(), data.test


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize("steps", [1, 7])
def test_step_by_step(trained, norm, steps):
    model, images = trained
    kind, eps = ATTACKS[norm]
    x, y = to_float(images.images), images.labels
    attack = kind(abs_stepsize=eps / 4, steps=steps, random_start=False)
    theirs, _, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilons=eps)
    ours = x + pgd(model, x, y, eps=eps, alpha=eps / 4, steps=steps, norm=norm, random_start=False)
    agree = (theirs - ours).abs().flatten(1).amax(1) < 1e-5
    # Where a gradient is all but zero rounding decides its sign, and the trajectories part.
    assert agree.float().mean() > 0.98
    assert (ours - x).abs().max() > 0.9 * eps * min(steps, 4) / 4 * (1 if norm == "linf" else 0.2)


@pytest.mark.parametrize("norm", ATTACKS)
def test_accuracy_from_random_starts(trained, norm):
    model, images = trained
    kind, eps = ATTACKS[norm]
    torch.manual_seed(1)
    attack = kind(abs_stepsize=eps / 8, steps=20, random_start=True)
    _, _, success = attack(
        foolbox.PyTorchModel(model, bounds=(0, 1)), to_float(images.images), images.labels, epsilons=eps
    )
    theirs = 100 * (1 - success.float().mean().item())
    ours = robust(model, images, PGDAttack(eps, alpha=eps / 8, steps=20, norm=norm))
    assert ours == pytest.approx(theirs, abs=2.0)
    assert 5 < ours < 80
