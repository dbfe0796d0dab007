# SPDX-License-Identifier: MIT
"""Networks return what they like and targets are what the loss takes: what is no class is not counted, before or after,
and no error comes after `.grad` was touched."""

from types import SimpleNamespace

import pytest
import torch
from passes import require_untouched, untouched
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Free, FreeYOPO, Natural, YOPOAttack
from yopo_ext.adversaries.metrics import batch_metrics
from yopo_ext.objectives import as_objective, largest_logit, trades

X = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 3

BALL = Ball(0.1, 0.05)
ONE_LOSS = {
    "natural": lambda model, **options: Natural(model, **options),
    "fgsm": lambda model, **options: FGSM(model, BALL, **options),
    "n-fgsm": lambda model, **options: NFGSM(model, BALL, **options),
    "pgd": lambda model, **options: PGD(model, BALL, 2, **options),
    "free": lambda model, **options: Free(model, BALL, 2, **options),
    "yopo-attack": lambda model, **options: YOPOAttack(model, model.first_layer, BALL, 2, 2, **options),
    "free-yopo": lambda model, **options: FreeYOPO(model, model.first_layer, 2, 2, 0.1, 0.05, **options),
    "yopo": lambda model, **options: YOPO(model, model.first_layer, 2, 2, 0.1, 0.05, **options),
    "yopo, backprop": lambda model, **options: YOPO(
        model, model.first_layer, 2, 2, 0.1, 0.05, first_layer_grad="backprop", **options
    ),
}
TWO_SIDED = {
    "trades": lambda model, **options: TRADES(model, BALL, 2, **options),
    "trades-yopo": lambda model, **options: TRADESYOPO(model, model.first_layer, BALL, 2, 2, **options),
}
EVERY_LOSS = pytest.mark.parametrize("method", ONE_LOSS)
EVERY_METHOD = pytest.mark.parametrize("method", [*ONE_LOSS, *TWO_SIDED])


class TwoSided:
    """An objective made of a function of (clean, adversarial, y)."""

    needs_clean = True

    def __init__(self, function):
        self.function = function

    def attack(self, outputs, y):
        raise NotImplementedError

    def train(self, outputs, y, clean=None):
        return self.function(clean, outputs, y)

    def predict(self, outputs):
        return largest_logit(outputs)


class Net(nn.Module):
    """K outputs, wrapped as one likes."""

    def __init__(self, classes=3, wrap=lambda logits: logits):
        super().__init__()
        torch.manual_seed(0)
        self.first_layer = (nn.Conv2d(1, 4, 3), nn.ReLU())
        self.chain = nn.Sequential(*self.first_layer, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, classes))
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.chain(x))


def mixup(outputs, y):
    (first, second, share) = y
    return share * cross_entropy(outputs, first) + (1 - share) * cross_entropy(outputs, second)


def bce(outputs, y):
    return binary_cross_entropy_with_logits(outputs, y)


HOTS = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]).repeat(2, 1)

# name: (network, loss, targets)
UNCOUNTED = {
    ".logits": (
        lambda: Net(wrap=lambda z: SimpleNamespace(logits=z)),
        lambda outputs, y: cross_entropy(outputs.logits, y),
        Y,
    ),
    "a tuple": (lambda: Net(wrap=lambda z: (z, z)), lambda outputs, y: cross_entropy(outputs[0], y), Y),
    "a dict": (lambda: Net(wrap=lambda z: {"z": z}), lambda outputs, y: cross_entropy(outputs["z"], y), Y),
    "a dict of targets": (Net, lambda outputs, y: cross_entropy(outputs, y["y"]), {"y": Y}),
    "mixup": (Net, mixup, (Y, Y.flip(0), 0.3)),
    "flat logits": (lambda: Net(1, lambda z: z[:, 0]), bce, (Y > 0).float()),
    "one output": (lambda: Net(1), lambda z, y: bce(z[:, 0], y.float()), (Y > 0).long()),
    "one output, a column of targets": (lambda: Net(1), bce, (Y > 0).float()[:, None]),
    "several labels": (Net, bce, HOTS),
    "dense": (lambda: Net(12, lambda z: z.reshape(8, 3, 2, 2)), cross_entropy, Y[:, None, None].expand(8, 2, 2)),
    "an ensemble's": (
        lambda: Net(12, lambda z: z.reshape(8, 4, 3)),
        lambda z, y: cross_entropy(z.mean(1), y),
        Y,
    ),
    "labels to ignore": (Net, cross_entropy, torch.tensor([0, 1, 2, -100, 0, 1, 2, 0])),
}


@EVERY_LOSS
@pytest.mark.parametrize("case", UNCOUNTED)
def test_what_is_no_class_is_left_out(case, method):
    build, loss, y = UNCOUNTED[case]
    model = build()
    metrics = ONE_LOSS[method](model, loss=loss).accumulate(X, y)
    assert set(metrics) == {"loss", "count"}
    assert metrics["count"] == 8
    assert metrics["loss"].isfinite()
    assert all(parameter.grad.any() for parameter in (model.chain[0].weight, model.chain[-1].weight))


def taken_by_torch(y):
    return y.float() if y.dim() > 1 else y.long()


@EVERY_METHOD
@pytest.mark.parametrize("targets", ["labels", "small labels", "probabilities", "smoothed in half precision"])
def test_classes_are_counted(targets, method):
    y = {
        "labels": Y,
        "small labels": Y.to(torch.uint8),
        "probabilities": 0.9 * nn.functional.one_hot(Y, 3).float() + 0.1 / 3,
        "smoothed in half precision": (0.9 * nn.functional.one_hot(Y, 3) + 0.1 / 3).bfloat16(),
    }[targets]
    model = Net()
    if method in TWO_SIDED:
        loss = TwoSided(lambda clean, adversarial, y: trades(clean, adversarial, taken_by_torch(y)))
        adversary = TWO_SIDED[method](model, loss=loss)
    else:
        adversary = ONE_LOSS[method](model, loss=lambda logits, y: cross_entropy(logits, taken_by_torch(y)))
    with torch.no_grad():
        model.chain[-1].weight.zero_()
        model.chain[-1].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    metrics = adversary.accumulate(X, y)
    assert metrics["correct"] == 3
    assert metrics["count"] == 8


#: (network, targets, what the message says)
REFUSED = {
    "one output": (lambda: Net(1), Y, r"logits: got shape \(8, 1\).*at least 2 classes"),
    "flat logits": (lambda: Net(1, lambda z: z[:, 0]), Y, r"logits: got shape \(8,\)"),
    "a tuple": (lambda: Net(wrap=lambda z: (z, z)), Y, "logits: got tuple, expected a tensor"),
    ".logits": (lambda: Net(wrap=lambda z: SimpleNamespace(logits=z)), Y, "logits: got SimpleNamespace"),
}


@EVERY_METHOD
@pytest.mark.parametrize("case", REFUSED)
def test_our_own_losses_refuse_what_is_no_distribution(case, method):
    """Softmax of one output is 1: cross entropy would be 0, and TRADES would make no attack."""
    build, y, words = REFUSED[case]
    model = build()
    before = untouched(model)
    with pytest.raises((TypeError, ValueError), match=words):
        {**ONE_LOSS, **TWO_SIDED}[method](model).accumulate(X, y)
    require_untouched(model, before)


#: losses that fail, or return what is none, and what is raised
BROKEN = {
    "a loss a sample": (lambda outputs, y: cross_entropy(outputs, y, reduction="none"), ValueError, "expected a 0-d"),
    "a number": (lambda outputs, y: 0.5, TypeError, "loss: returned float"),
    "no graph": (lambda outputs, y: cross_entropy(outputs.detach(), y), RuntimeError, "grad"),
    "an exception": (lambda outputs, y: outputs.logits, AttributeError, "logits"),
    "more classes than outputs": (lambda outputs, y: cross_entropy(outputs, y + 2), IndexError, "out of bounds"),
}


@EVERY_METHOD
@pytest.mark.parametrize("case", BROKEN)
def test_an_error_comes_before_anything_is_added(case, method):
    model = Net()
    before = untouched(model)
    broken, error, words = BROKEN[case]
    if method in TWO_SIDED:
        adversary = TWO_SIDED[method](model, loss=TwoSided(lambda clean, adversarial, y: broken(adversarial, y)))
    else:
        adversary = ONE_LOSS[method](model, loss=broken)
    with pytest.raises(error, match=words):
        adversary.accumulate(X, Y)
    require_untouched(model, before)


@EVERY_METHOD
def test_gradients_that_are_switched_off_are_named(method):
    model = Net()
    before = untouched(model)
    with pytest.raises(RuntimeError, match="no_grad"), torch.no_grad():
        {**ONE_LOSS, **TWO_SIDED}[method](model).accumulate(X, Y)
    require_untouched(model, before)


def test_a_column_too_many_or_too_few_is_not_counted():
    logits = torch.randn(8, 3)

    def counted(logits, y):
        return "correct" in batch_metrics(as_objective(cross_entropy), torch.zeros(()), logits, y, 8)

    assert counted(logits, Y)
    assert not counted(logits, Y - 1)
    assert not counted(logits, Y.float())
    assert not counted(logits, Y > 0)
    assert not counted(logits, Y[:, None])
    assert not counted(logits, torch.ones(8, 3, dtype=torch.int64))
    assert not counted(torch.randn(10, 3, 8), Y)
    assert not counted(logits[:4], Y[:4])
    assert not counted(logits, torch.tensor([[1.5, -0.5, 0.0]]).expand(8, 3))
    assert not counted(logits, torch.ones(8, 1))


def test_a_class_that_no_output_stands_for_is_never_right():
    metrics = batch_metrics(as_objective(cross_entropy), torch.zeros(()), torch.eye(3)[Y], Y + 1, 8)
    assert metrics["correct"] == 0


@EVERY_METHOD
def test_a_prediction_that_is_no_class_is_refused_before_anything_is_added(method):
    class Scores(TwoSided):
        needs_clean = method in TWO_SIDED

        def attack(self, outputs, y):
            return cross_entropy(outputs, y)

        def train(self, outputs, y, clean=None):
            return cross_entropy(outputs, y)

        def predict(self, outputs):
            return outputs.amax(1)

    model = Net()
    before = untouched(model)
    with pytest.raises(TypeError, match=r"objective: predict returned torch[.]float32, expected"):
        {**ONE_LOSS, **TWO_SIDED}[method](model, loss=Scores(None)).accumulate(X, Y)
    require_untouched(model, before)
