# SPDX-License-Identifier: MIT
"""Multiply-adds counted from what runs, and units of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import yopo_ext
from yopo_ext.multiply_adds import MultiplyAdds
from yopo_ext.units import UnitCounter


def count(function):
    with MultiplyAdds() as found:
        function()
    return found.total


def passes(layer, x):
    """Multiply-adds forward, backward to the input, and to everything."""
    leaf = x.clone().requires_grad_()
    forward = count(lambda: layer(x))
    to_input = count(lambda: torch.autograd.grad(layer(leaf).sum(), leaf))
    return forward, to_input - forward, count(lambda: layer(leaf).sum().backward()) - forward


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 5), 2 * 25 * 6 * 4 * 9),
        (nn.Conv2d(4, 6, 3, stride=2), (2, 4, 5, 5), 2 * 4 * 6 * 4 * 9),
        (nn.Conv2d(4, 8, 3, groups=4, padding=1), (2, 4, 5, 5), 2 * 25 * 8 * 9),
        (nn.Conv2d(4, 8, 1, groups=2), (2, 4, 5, 5), 2 * 25 * 8 * 2),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 5, 5), 2 * 25 * 4 * 6 * 9),
        (nn.Linear(7, 3), (5, 7), 5 * 7 * 3),
        (nn.Conv1d(3, 2, 5), (2, 3, 9), 2 * 5 * 2 * 3 * 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_gradient_costs_what_the_forward_pass_does(layer, shape, expected):
    assert passes(layer, torch.rand(shape)) == (expected, expected, 2 * expected)


def test_attention_counts_on_a_cpu():
    q = torch.rand(2, 3, 5, 4)
    assert count(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 3 * 5 * 5 * 4)


def test_our_operators_count_what_they_evaluate():
    x, p, weight = torch.rand(2, 1, 6, 6), torch.rand(2, 4, 4, 4), torch.rand(4, 1, 3, 3, requires_grad=True)
    once = p.numel() * 9

    def ascent(steps, activation, **options):
        given = {"eps": 0.1, "alpha": 0.1, "steps": steps, "activation": activation, **options}
        return count(lambda: yopo_ext.inner_ascent(x, 0 * x, p, weight, **given))

    for options in ({}, {"backend": "torch"}):
        steps = [ascent(n, "identity", **options) for n in (0, 1, 5)], [ascent(n, "relu", **options) for n in (0, 1, 5)]
        assert steps == ([0, once, once], [0, 2 * once, 10 * once])

    def gradient(activation):
        return count(lambda: yopo_ext.hamiltonian(x, p, weight, activation=activation).backward())

    # H and the weight's gradient, for which the layer is evaluated again where it is not linear.
    assert (gradient("identity"), gradient("relu")) == (2 * once, 3 * once)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(32, 3))


def test_nothing_is_computed_otherwise():
    found = []
    for counts in (False, True):
        model, x = net(), torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        if counts:
            with UnitCounter(model):
                F.cross_entropy(model(x), torch.arange(4) % 3).backward()
        else:
            F.cross_entropy(model(x), torch.arange(4) % 3).backward()
        found.append([*(one.grad for one in model.parameters()), *model.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_units_do_not_depend_on_how_the_mini_batch_is_cut():
    model, x = net(), torch.rand(4, 1, 6, 6)
    for parts in ([x], [x[:3], x[3:]], [torch.cat([x, x])]):
        counter = UnitCounter(model)
        for part in parts:
            with counter:
                model(part)
        assert counter.per_image(4) == sum(map(len, parts)) / 4
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_what_cannot_be_counted_says_so():
    with UnitCounter(net()) as counter:
        pass
    with pytest.raises(RuntimeError, match="model: Sequential was not called in the block"):
        counter.per_image(4)
    with UnitCounter(nn.ReLU()) as counter:
        counter.model(torch.rand(2))
    assert not counter.has_seen_a_pass
    with pytest.raises(ValueError, match="images: got 0, expected at least 1"):
        counter.per_image(0)
