# SPDX-License-Identifier: MIT
"""A ball checks itself once, and its feasible set is that of inputs of any number of dimensions."""

import math
import re

import pytest
import torch

from yopo_ext import Ball, FirstLayer
from yopo_ext.projection import feasible_set


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"eps": -0.1}, ValueError, "eps: got -0.1, expected finite values of at least 0"),
        ({"eps": math.nan}, ValueError, "eps: got nan"),
        ({"eps": "0.1"}, TypeError, "eps: got '0.1', expected a float"),
        ({"eps": torch.tensor([0.1, -0.1])}, ValueError, "eps: got"),
        ({"alpha": math.inf}, ValueError, "alpha: got inf"),
        ({"norm": "l1"}, ValueError, "norm: got 'l1', expected one of 'linf', 'l2'"),
        ({"eps": [0.1, 0.2], "norm": "l2"}, ValueError, "eps: got one value per channel"),
        ({"alpha": (0.1, 0.2), "norm": "l2"}, ValueError, "alpha: got one value per channel"),
        ({"bounds": (1.0, 0.0)}, ValueError, "bounds: got .*expected low < high"),
        ({"bounds": 1.0}, TypeError, "bounds: got 1.0, expected a pair"),
        ({"bounds": ([0.0, 0.0, 0.0], 1.0), "eps": [0.1, 0.2]}, ValueError, "eps: got 2 values, expected one, or"),
        ({"eps": 8}, ValueError, "eps: got 8, expected less than 1"),
    ],
)
def test_wrong_values_are_refused_at_once(change, error, words):
    with pytest.raises(error, match=words):
        Ball(**{"eps": 0.1, "alpha": 0.05, **change})


@pytest.mark.parametrize(
    "x", [None, torch.zeros(3), torch.zeros(2, 3, dtype=torch.uint8)], ids=["none", "one dimension", "bytes"]
)
def test_what_can_be_perturbed(x):
    with pytest.raises(TypeError, match=r"x: got .*expected a floating point tensor \(B, C, [.]{3}\)"):
        Ball(0.1, 0.1).feasible_set(x)


@pytest.mark.parametrize("name", ["eps", "alpha", "bounds[0]", "bounds[1]"])
def test_the_channels_are_checked_where_the_images_are_known(name):
    values = {"eps": 0.1, "alpha": 0.1, "bounds[0]": 0.0, "bounds[1]": 1.0, name: [0.3, 0.4]}
    ball = Ball(values["eps"], values["alpha"], (values["bounds[0]"], values["bounds[1]"]))
    ball.feasible_set(torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match=re.escape(name) + r": got 2 values.*per channel \(3\)"):
        ball.feasible_set(torch.zeros(1, 3, 3, 3))


def test_numbers_make_it_hashable():
    ball = Ball([0.1, 0.2], torch.tensor(0.5), (torch.tensor([0.0, -1.0]), [1.0, 2.0]))
    assert ball == Ball((0.1, 0.2), 0.5, ((0.0, -1.0), (1.0, 2.0)))
    assert len({ball, Ball((0.1, 0.2), 0.5, ((0.0, -1.0), (1.0, 2.0)))}) == 1


def test_scaled():
    ball = Ball((0.1, 0.2), 0.05, norm="linf")
    assert ball.scaled(0.5) == Ball((0.05, 0.1), 0.025)
    assert ball.scaled(0.0).feasible_set(torch.rand(1, 2, 4)).project(torch.ones(1, 2, 4)).abs().max() == 0


SHAPES = pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2), (4, 3, 5, 2, 2)])


@SHAPES
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_any_rank_it_is_that_of_images(shape, norm):
    """The same numbers laid out as images (B, C, H, 1) give the same projections and steps."""
    generator = torch.Generator().manual_seed(0)
    x, eta, g = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    eta, g = 4 * eta - 2, 2 * g - 1
    ball = Ball(0.4, 0.2, (0.0, 1.0), norm)
    feasible, images = ball.feasible_set(x), ball.feasible_set(x.reshape(4, 3, -1, 1))
    found, expected = feasible.project(eta), images.project(eta.reshape(4, 3, -1, 1))
    assert torch.equal(found, expected.reshape(shape))
    found = feasible.step(found, g, ball.step_size(x))
    expected = images.step(expected, g.reshape(4, 3, -1, 1), ball.step_size(images.x))
    assert torch.equal(found, expected.reshape(shape))


@SHAPES
def test_a_value_per_channel_of_any_rank(shape):
    ball = Ball((0.1, 0.2, 0.3), (0.01, 0.02, 0.03), None)
    feasible = ball.feasible_set(torch.zeros(shape))
    reached = feasible.project(torch.ones(shape)).transpose(0, 1).flatten(1)
    assert torch.equal(reached, torch.tensor([[0.1], [0.2], [0.3]]).expand_as(reached))
    moved = feasible.step(torch.zeros(shape), torch.ones(shape), ball.step_size(feasible.x)).transpose(0, 1).flatten(1)
    assert torch.equal(moved, torch.tensor([[0.01], [0.02], [0.03]]).expand_as(moved))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("layer", ["kernel", "autograd"])
def test_a_checked_ball_ascends_as_the_loose_values_do(layer, norm):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 6, 3, groups=2 if layer == "autograd" else 1)
    first = FirstLayer((conv, torch.nn.ReLU()))
    x, p = torch.rand(2, 4, 6, 6), torch.randn(2, 6, 4, 4)
    eta, ball = 0.2 * torch.randn(2, 4, 6, 6), Ball(0.1, 0.04, (0.0, 1.0), norm)
    found = first.ascend(ball, ball.feasible_set(x), eta, p, steps=3)
    expected = first.inner_ascent(x, eta, p, eps=0.1, alpha=0.04, steps=3, norm=norm)
    assert torch.equal(found, expected)
    for wrong, error in (({"steps": -1}, "steps"), ({"steps": 1, "direction": "up"}, "direction")):
        with pytest.raises(ValueError, match=error):
            first.ascend(ball, ball.feasible_set(x), eta, p, **wrong)


def test_the_set_of_loose_values_is_not_limited():
    assert feasible_set(torch.zeros(1, 1), 8.0, (0.0, 1.0)).upper.item() == 1.0
