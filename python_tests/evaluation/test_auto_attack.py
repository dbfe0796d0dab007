# SPDX-License-Identifier: MIT

import sys

import numpy as np
import pytest
import torch
from robustness import batch_of
from torch import nn

from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import AutoAttack, PGDAttack, measure, outcomes
from yopo_ext.evaluation.attacks.autoattack import import_auto_attack
from yopo_ext.evaluation.outcomes import attack_batch

needs_package = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('pyautoattack')",
    reason="pyautoattack is not installed: pip install 'yopo-ext[autoattack]'",
)


@pytest.fixture(scope="module")
def trained():
    """A linear classifier of digits with dropout, and 24 images it is mostly right on."""
    data = load_dataset("digits")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout(0.9))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=0.03)
    x, y = to_float(data.train.images), data.train.labels
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model[:2](x), y).backward()
        optimizer.step()
    return model.train(), data.test.take(24)


@needs_package
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.25)])
def test_it_is_at_least_as_strong_as_pgd(trained, norm, eps):
    model, images = trained
    torch.manual_seed(3)
    np.random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    report = measure(
        model, images, [PGDAttack(eps, steps=20, norm=norm), AutoAttack(eps, norm)], check_normalisation=False
    )
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert 0 < report.robust["AutoAttack"] <= report.robust["PGD-20, ce"] < report.clean
    assert model.training
    assert model[2].training
    assert all(parameter.requires_grad and parameter.grad is not None for parameter in model[1].parameters())
    (again,) = outcomes(model, images, [AutoAttack(eps, norm)]).attacked
    assert 100 * int(again.survived.sum()) / 24 == report.robust["AutoAttack"]


@needs_package
def test_nothing_is_left_to_attack(trained):
    model, images = trained
    found = attack_batch(AutoAttack(0.1), model, batch_of(images), torch.zeros(24, dtype=torch.bool))
    assert not found.survived.any()
    assert not found.eta.any()


def test_without_the_package_the_error_says_how_to_install_it(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(ImportError, match=r"pip install 'yopo-ext\[autoattack\]'"):
        import_auto_attack()
    model, images = trained
    with pytest.raises(ImportError, match="pyautoattack"):
        measure(model, images, [AutoAttack(0.1)], check_normalisation=False)


def test_what_is_refused(model, images):
    with pytest.raises(ValueError, match="norm: got 'l1', expected one of linf, l2"):
        AutoAttack(0.1, "l1")
    with pytest.raises(ValueError, match="AutoAttack needs at least 4 classes, these images have 3"):
        measure(model, images, [AutoAttack(0.1)])
