# SPDX-License-Identifier: MIT
"""Torch before 2.12: a compiled region goes on as it was compiled, whether its weights want gradients now or not."""

import functools

import pytest
import torch
from passes import batch, relu_net, seeded
from torch import nn

from yopo_ext import Ball, costate, frozen_parameters
from yopo_ext.adversaries import NFGSM, PGD, TRADES, Free, YOPOAttack
from yopo_ext.compiled_regions import GUARDS_MISS_REQUIRES_GRAD, runs_compiled
from yopo_ext.frozen_parameters import without_weight_gradients
from yopo_ext.models import SmallCNN
from yopo_ext.training.events import compiled_tail
from yopo_ext.training.events.compiled_tail import CompiledTail

BALL = Ball(0.06, 0.02)
compiled = functools.partial(torch.compile, backend="aot_eager")


def whole(model):
    return compiled(model)


def in_place(model):
    model.compile(backend="aot_eager")
    return model


def its_forward(model):
    model.forward = compiled(model.forward)
    return model


def a_part(model):
    model[2] = compiled(model[2])
    return model


def a_parts_forward(model):
    model[2].forward = compiled(model[2].forward)
    return model


class Decorated(nn.Sequential):
    @compiled
    def forward(self, x):
        return super().forward(x)


def by_its_class(model):
    return Decorated(*model)


class WithCompiledMethod(nn.Sequential):
    def forward(self, x):
        return self.rest(self[0](x))

    @compiled
    def rest(self, x):
        for part in list(self)[1:]:
            x = part(x)
        return x


def by_a_method_of_its_class(model):
    return WithCompiledMethod(*model)


WAYS = [whole, in_place, its_forward, a_part, a_parts_forward, by_its_class, by_a_method_of_its_class]
ADVERSARIES = {
    "pgd": lambda model: PGD(model, BALL, 2, generator=seeded()),
    "n-fgsm": lambda model: NFGSM(model, BALL, generator=seeded()),
    "trades": lambda model: TRADES(model, BALL, 2, generator=seeded()),
}


def gradients(adversary, model):
    """Of the weights, by the second mini-batch."""
    for step in range(2):
        model.zero_grad()
        adversary.accumulate(*batch(5, step))
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_compiled_is_seen(way):
    assert not runs_compiled(relu_net())
    assert runs_compiled(way(relu_net()))


@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("guards_miss_it", [None, True])
def test_weights_of_compiled_networks_get_their_gradients(monkeypatch, way, name, guards_miss_it):
    """On this torch as it is, and as if it were an old one."""
    if guards_miss_it is not None:
        monkeypatch.setattr(frozen_parameters, "GUARDS_MISS_REQUIRES_GRAD", guards_miss_it)
    torch._dynamo.reset()
    eager = relu_net()
    model = way(relu_net())
    expected, found = gradients(ADVERSARIES[name](eager), eager), gradients(ADVERSARIES[name](model), model)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("guards_miss_it", [True, False])
def test_weights_are_left_alone_where_a_region_would_not_notice(monkeypatch, guards_miss_it):
    monkeypatch.setattr(frozen_parameters, "GUARDS_MISS_REQUIRES_GRAD", guards_miss_it)
    for model, switched in ((relu_net(), True), (a_part(relu_net()), not guards_miss_it)):
        with without_weight_gradients(model):
            assert all(parameter.requires_grad != switched for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_compiled_tail_does_not_rely_on_its_guards(monkeypatch):
    """What stands in for torch's compiler goes on, by the function's code, with what its first pass wanted."""
    kept = {}

    def forgetful(function, **options):
        def region(x):
            if kept.setdefault(id(function.__code__), any(parameter.requires_grad for parameter in model.parameters())):
                return function(x)
            with without_weight_gradients(model):
                return function(x)

        return region

    monkeypatch.setattr(torch, "compile", forgetful)
    found = []
    for compiles in (False, True):
        torch.manual_seed(0)
        model = SmallCNN(1, 10)
        if compiles:
            tail = CompiledTail(model)
            tail.on_batches_start(None)
        adversary = YOPOAttack(model, model.first_layer, BALL, 1, 2, generator=seeded())
        for _ in range(2):
            model.zero_grad()
            adversary.accumulate(torch.rand(3, 1, 28, 28, generator=seeded()), torch.arange(3))
        found.append([parameter.grad for parameter in model.parameters()])
    assert len(kept) == 2
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


class Breaking(nn.Module):
    """A convolution, then parts between which a number is read."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, stride=3), nn.Linear(64, 3)

    def forward(self, x):
        return self.tail(self.conv(x))

    def tail(self, x):
        if not torch.isfinite(x).all():
            raise ValueError
        return self.head(x.relu().flatten(1))


@pytest.mark.parametrize("guards_miss_it", [True, False])
def test_a_tail_of_parts_is_refused_where_they_would_not_notice(monkeypatch, guards_miss_it):
    monkeypatch.setattr(compiled_tail, "GUARDS_MISS_REQUIRES_GRAD", guards_miss_it)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    if not guards_miss_it and GUARDS_MISS_REQUIRES_GRAD:
        pytest.skip("a torch of which it is true")
    for make in (
        lambda model: Free(model, BALL, 2),  # whose passes all want the weights' gradients
        lambda model: NFGSM(model, BALL, generator=seeded()),
    ):
        torch._dynamo.reset()
        model = Breaking()
        CompiledTail(model).on_batches_start(None)
        adversary = make(model)
        x, y = torch.rand(3, 1, 12, 12), torch.arange(3)
        if guards_miss_it and isinstance(adversary, NFGSM):
            with pytest.raises(ValueError, match="compile: what follows the first layer is not one graph"):
                adversary.accumulate(x, y)
        else:
            adversary.accumulate(x, y)
            assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("guards_miss_it", [None, True])
def test_a_first_layer_of_compiled_modules_gets_its_gradients(monkeypatch, guards_miss_it):
    """Its check freezes its parameters while it runs."""
    if guards_miss_it is not None:
        for module in (frozen_parameters, costate):
            monkeypatch.setattr(module, "GUARDS_MISS_REQUIRES_GRAD", guards_miss_it)
    found = []
    for wrap in (lambda module: module, compiled):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model = nn.Sequential(wrap(nn.Conv2d(1, 4, 3)), wrap(nn.BatchNorm2d(4)), nn.Flatten(), nn.Linear(4 * 36, 3))
        adversary = YOPOAttack(model, (model[0], model[1]), BALL, 1, 2, generator=seeded())
        for _ in range(2):
            model.zero_grad()
            adversary.accumulate(torch.rand(4, 1, 8, 8, generator=seeded()), torch.arange(4) % 3)
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
