# SPDX-License-Identifier: MIT
"""Radii in grey levels, and images that leave their bounds in a later mini-batch."""

import copy

import pytest
import torch
from torch import nn

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Free, FreeYOPO, YOPOAttack
from yopo_ext.adversaries.bounds_watch import BoundsWatch

X = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(4) % 3


def net():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


METHODS = {
    "fgsm": FGSM,
    "n-fgsm": NFGSM,
    "pgd": lambda model, ball: PGD(model, ball, 1),
    "free": lambda model, ball: Free(model, ball, 2),
    "yopo": lambda model, ball: YOPO(model, model[0], 1, 1, ball.eps, ball.alpha, bounds=ball.bounds, norm=ball.norm),
    "trades": lambda model, ball: TRADES(model, ball, 1),
    "free-yopo": lambda model, ball: FreeYOPO(
        model, model[0], 1, 1, ball.eps, ball.alpha, bounds=ball.bounds, norm=ball.norm
    ),
    "yopo-attack": lambda model, ball: YOPOAttack(model, model[0], ball, 1, 1),
    "trades-yopo": lambda model, ball: TRADESYOPO(model, model[0], ball, 1, 1),
}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


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
def test_a_ball_as_wide_as_the_box_is_refused_at_once(eps, bounds):
    with pytest.raises(ValueError, match=r"eps: got .*expected less than.*bounds=.*8/255.*bounds=None"):
        Ball(eps, 0.1, bounds)
    with pytest.raises(ValueError, match="eps: got"):
        YOPO(net(), net()[0], eps=eps, bounds=bounds)


@EVERY_METHOD
@pytest.mark.parametrize(
    ("eps", "bounds", "images"),
    [(8, None, X), (8.0, (0, 255), 255 * X), ([0.1, 0.2], ([0, 0.0], [1.0, 1.0]), X), (0.999, (0, 1), X)],
)
def test_other_radii_are_taken(eps, bounds, images, method):
    model = net()
    METHODS[method](model, Ball(eps, 0.1, bounds)).accumulate(images, Y)
    assert model[0].weight.grad.any()


@pytest.mark.parametrize("method", ["fgsm", "pgd", "free", "yopo", "trades", "trades-yopo", "yopo-attack", "free-yopo"])
def test_an_l2_radius_may_exceed_the_width(method):
    METHODS[method](net(), Ball(2.0, 0.5, norm="l2")).accumulate(X, Y)


@EVERY_METHOD
def test_a_later_batch_outside_of_the_bounds_is_refused(method):
    model = net()
    adversary = METHODS[method](model, Ball(8 / 255, 2 / 255))
    adversary.accumulate(X, Y)
    model.zero_grad()
    with pytest.raises(ValueError, match=r"x: got images from 0\.\d+ to 25\d.*bounds=\(0.0, 1.0\).*normalised"):
        adversary.accumulate(255 * X, Y)
    assert all(parameter.grad is None for parameter in model.parameters())
    adversary.accumulate(X, Y)  # it was refused, and nothing is left of it


@EVERY_METHOD
def test_a_pixel_that_is_no_number_is_refused(method):
    images = X.clone()
    images[0, 0, 0, 0] = torch.nan
    model = net()
    with pytest.raises(ValueError, match="x: got images from nan to nan, expected them inside bounds"):
        METHODS[method](model, Ball(8 / 255, 2 / 255)).accumulate(images, Y)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_device_is_not_waited_for(monkeypatch):
    """After the first mini-batch the look is only started, and the next call finds what it saw."""
    seen = BoundsWatch()
    ball = Ball(0.1, 0.1)

    def watch(x):
        seen(ball.feasible_set(x), ball.bounds)

    watch(X)
    waited = []
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: waited.append(self) or self.item())
    monkeypatch.setattr("yopo_ext.adversaries.bounds_watch._may_be_read", lambda tensor: False)
    watch(X)
    watch(255 * X)
    assert all(tensor is seen._arrived for tensor in waited)
    with pytest.raises(ValueError, match="an earlier mini-batch"):
        watch(X)
    watch(X)  # begins anew
    assert copy.deepcopy(seen)._outside is None
