# SPDX-License-Identifier: MIT
"""Radii in grey levels, and images that leave their bounds in a later mini-batch."""

import copy

import pytest
import torch
from torch import nn

from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Free
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.objectives import trades

X = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(4) % 3


def net():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


METHODS = {
    "fgsm": FGSM,
    "n-fgsm": NFGSM,
    "pgd": lambda model, **options: PGD(model, 1, **options),
    "free": lambda model, **options: Free(model, 2, **options),
    "yopo": lambda model, **options: YOPO(model, model[0], 1, 1, **options),
    "trades": lambda model, **options: TRADES(model, trades, 1, **options),
    "trades-yopo": lambda model, **options: TRADESYOPO(model, model[0], trades, 1, 1, **options),
}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


@EVERY_METHOD
@pytest.mark.parametrize(
    ("eps", "bounds"),
    [
        (8, (0.0, 1.0)),
        (1.0, (0.0, 1.0)),
        ([0.1, 8.0], (0, 1)),
        (torch.tensor([0.1, 8.0]), (0, 1)),
        (0.5, ([0.0, 0.0], [0.4, 1.0])),
        (256.0, (0, 255)),
    ],
)
def test_a_ball_as_wide_as_the_box_is_refused_at_once(eps, bounds, method):
    with pytest.raises(ValueError, match=r"eps: got .*expected less than.*bounds=.*8/255.*bounds=None"):
        METHODS[method](net(), eps=eps, bounds=bounds)


@EVERY_METHOD
@pytest.mark.parametrize(
    ("eps", "bounds", "images"),
    [(8, None, X), (8.0, (0, 255), 255 * X), ([0.1, 0.2], ([0, 0.0], [1.0, 1.0]), X), (0.999, (0, 1), X)],
)
def test_other_radii_are_taken(eps, bounds, images, method):
    model = net()
    METHODS[method](model, eps=eps, bounds=bounds).accumulate(images, Y)
    assert model[0].weight.grad.any()


@pytest.mark.parametrize("method", ["fgsm", "pgd", "free", "yopo", "trades", "trades-yopo"])
def test_an_l2_radius_may_exceed_the_width(method):
    METHODS[method](net(), eps=2.0, norm="l2").accumulate(X, Y)


@EVERY_METHOD
def test_a_later_batch_outside_of_the_bounds_is_refused(method):
    model = net()
    adversary = METHODS[method](model, eps=8 / 255)
    adversary.accumulate(X, Y)
    model.zero_grad()
    with pytest.raises(ValueError, match=r"x: got images from 0\.\d+ to 25\d.*bounds=\(0.0, 1.0\).*normalised"):
        adversary.accumulate(255 * X, Y)
    assert all(parameter.grad is None for parameter in model.parameters())
    adversary.accumulate(X, Y)  # it was refused, and nothing is left of it


def test_a_device_is_not_waited_for(monkeypatch):
    """After the first mini-batch the look is only started, and the next call finds what it saw."""
    watch = BoundsWatch()
    watch(X, (0.0, 1.0))
    waited = []
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: waited.append(self) or self.item())
    monkeypatch.setattr("yopo_ext.adversaries.bounds_watch._may_be_read", lambda tensor: False)
    watch(X, (0.0, 1.0))
    watch(255 * X, (0.0, 1.0))
    assert all(tensor is watch._arrived for tensor in waited)
    with pytest.raises(ValueError, match="an earlier mini-batch"):
        watch(X, (0.0, 1.0))
    watch(X, (0.0, 1.0))  # begins anew
    assert copy.deepcopy(watch)._outside is None
