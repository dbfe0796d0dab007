# SPDX-License-Identifier: MIT
"""The cosine of the gradients at an attack's start and end, by adversaries that are watched."""

import copy

import pytest
import torch
from batch_norm_net import BatchNormNet
from passes import batch, gradients, relu_net, seeded
from torch.nn.functional import cosine_similarity, cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, YOPOAttack
from yopo_ext.adversaries.gradient_watch import ONE, GradientWatch
from yopo_ext.adversaries.method import METHODS
from yopo_ext.objectives import Trades

BALL = Ball(0.06, 0.05)
WATCHED = {
    "fast": lambda model, **options: FGSM(model, BALL, generator=seeded(), **options),
    "n-fgsm": lambda model, **options: NFGSM(model, BALL, generator=seeded(), **options),
    "pgd": lambda model, **options: PGD(model, BALL, 2, generator=seeded(), **options),
    "yopo-attack": lambda model, **options: YOPOAttack(
        model, (model[0], model[1]), BALL, 2, 2, generator=seeded(), **options
    ),
}
EVERY = pytest.mark.parametrize("name", WATCHED)


def input_gradient(model, images, y):
    images = images.detach().requires_grad_()
    return torch.autograd.grad(cross_entropy(model(images), y), images)[0]


def mean_cosine(watch):
    total, images = watch.sums.tolist()
    return total / ONE / images


def starts_of(adversary, x, y):
    """Where its passes are made."""
    seen = []
    handle = adversary.model.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    adversary.accumulate(x, y)
    handle.remove()
    return seen


def test_those_that_say_so_are_watched():
    assert {method.name for method in METHODS if method.watched} == set(WATCHED)


@EVERY
def test_it_is_the_cosine_of_the_two_gradients_and_changes_nothing(name):
    x, y = batch()
    plain, watched = (WATCHED[name](relu_net()) for _ in range(2))
    watched.watch.active = True
    for _ in range(2):  # YOPO's first mini-batch is checked
        model = copy.deepcopy(watched.model)
        expected = starts_of(plain, x, y)
        seen = starts_of(watched, x, y)
        assert all(map(torch.equal, seen, expected))
        first, last = (input_gradient(model, images, y) for images in (seen[0], seen[-1]))
        cosine = cosine_similarity(first.flatten(1), last.flatten(1))
        assert mean_cosine(watched.watch) == pytest.approx(float(cosine.mean()), abs=1e-6)
        assert -1 < mean_cosine(watched.watch) < 0.999
        assert watched.watch.sums[1] == len(x)
        watched.watch.sums.zero_()
    assert all(map(torch.equal, gradients(plain.model), gradients(watched.model)))
    assert all(map(torch.equal, plain.model.buffers(), watched.model.buffers()))
    assert plain.watch.sums is None


@pytest.mark.parametrize("amp", [None, torch.bfloat16])
def test_batch_norm_in_the_first_layer_and_half_precision(amp):
    torch.manual_seed(0)
    model = BatchNormNet(1, 10)
    x, y = torch.rand(6, 1, 8, 8, generator=seeded()), torch.arange(6)
    adversary = YOPOAttack(model, model.first_layer, BALL, 1, 2, generator=seeded())
    adversary.watch.active = True
    with torch.autocast("cpu", dtype=amp or torch.bfloat16, enabled=amp is not None):
        seen = starts_of(adversary, x, y)
    first, last = (input_gradient(model, images, y) for images in (seen[0], seen[-1]))
    expected = float(cosine_similarity(first.flatten(1), last.flatten(1)).mean())
    assert mean_cosine(adversary.watch) == pytest.approx(expected, abs=2e-2 if amp else 1e-2)


def test_an_objective_that_asks_for_clean_outputs_too():
    x, y = batch()
    adversary = WATCHED["fast"](relu_net(), loss=Trades(2.0))
    adversary.watch.active = True
    adversary.accumulate(x, y)
    assert adversary.watch.sums[1] == len(x)
    assert not hasattr(TRADES(relu_net(), BALL), "watch")


def test_what_has_no_direction_is_left_out_and_sums_are_exact():
    watch = GradientWatch()
    watch.active = True
    images = torch.ones(5, 1, 2, 2)
    start = torch.tensor([1.0, 1e-30, 0.0, float("nan"), 1.0]).reshape(-1, 1, 1, 1) * images
    for _ in range(3):
        watch.begin(start)
        given, leaf = watch.follow(images)
        weights = torch.tensor([1.0, -1e30, 1.0, 1.0, 0.0]).reshape(-1, 1, 1, 1)
        (given * weights).sum().backward()
        watch.end(leaf)
    assert watch.sums.tolist() == [0, 6]  # alike, opposed, and three that say nothing
    watch.active = False
    watch.begin(start)
    given, leaf = watch.follow(images)
    assert given is images
    assert leaf is None
    watch.end(leaf)
    assert watch.sums.tolist() == [0, 6]
