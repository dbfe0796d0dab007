# SPDX-License-Identifier: MIT
"""YOPO against a literal, slow YOPO-m-n written out in plain torch, in float64."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import YOPO
from yopo_ext.adversaries import Adversary, random_start
from yopo_ext.backends import torch_backend
from yopo_ext.stopwatch import Stopwatch

EPS, ALPHA, M, N = 0.05, 0.02, 3, 2
GRADS = pytest.mark.parametrize("first_layer_grad", ["hamiltonian", "backprop", "both"])


def relu_net(inplace=False):
    """Nonlinear first layer: conv + ReLU."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 4, 3)
    )


def bare_net():
    """Linear first layer: a bare convolution, batch norm behind it."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    )


def bn_net():
    """A first layer with batch norm in training mode."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16, 3)
    )  # fmt: skip


NETS = {
    "relu": (relu_net, 2, None),
    "inplace": (lambda: relu_net(True), 2, None),
    "bare": (bare_net, 1, None),
    "bn, frozen": (bn_net, 3, "frozen"),
    "bn, batch": (bn_net, 3, "batch"),
    "bn, linear": (bn_net, 2, "frozen"),
}


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 2, 6, 6, generator=generator, dtype=torch.float64).to(dtype), torch.arange(6) % 3


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def at_the_statistics_of(first, u):
    """A copy whose batch norm is the affine map that it is at u."""
    twin = copy.deepcopy(first).eval()
    for module, frozen in zip(first, twin, strict=True):
        if isinstance(module, nn.BatchNorm2d):
            frozen.running_mean, frozen.running_var = u.mean((0, 2, 3)), u.var((0, 2, 3), correction=0)
        u = frozen(u).detach()
    return twin


def literal_yopo(model, depth, x, y, *, m, n, reduction, first_layer_grad, bn_statistics):
    """The algorithm step by step. Returns the perturbation before the n steps of the last pass, and after."""
    eps = torch.tensor(EPS).double()
    alpha = torch.tensor(ALPHA).double()
    lower, upper = torch.maximum(-eps, 0 - x), torch.minimum(eps, 1 - x)
    eta = random_start(x, eps=EPS, generator=seeded())
    first, rest = model[:depth], model[depth:]
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for _ in range(m):
        f0 = first(x + eta)
        leaf = f0.detach().clone().requires_grad_()
        model.zero_grad()
        cross_entropy(rest(leaf * 1.0), y).backward()
        p = leaf.grad
        before = eta
        frozen = at_the_statistics_of(first, x + eta)
        for _ in range(n):
            moving = eta.clone().requires_grad_()
            twin = frozen if bn_statistics == "frozen" else copy.deepcopy(first)  # so that no running statistics move
            g = torch.autograd.grad((twin(x + moving) * p).sum(), moving)[0]
            eta = (eta + alpha * g.sign()).clamp(lower, upper)
        if first_layer_grad != "hamiltonian":
            (f0 * p).sum().backward()
        if first_layer_grad != "backprop":
            twin = copy.deepcopy(first)
            twin.zero_grad()
            (twin(x + eta) * p).sum().backward()
            for name, parameter in twin.named_parameters():
                total[name] += parameter.grad
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                total[name] += parameter.grad
    scale = m if reduction == "mean" else 1
    return {name: value / scale for name, value in total.items()}, before, eta


@GRADS
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("net", NETS)
def test_gradients_are_those_of_the_literal_algorithm(net, reduction, first_layer_grad):
    make, depth, bn_statistics = NETS[net]
    literal, model = make().double(), make().double()
    x, y = batch()
    expected, before, after = literal_yopo(
        literal, depth, x, y, m=M, n=N, reduction=reduction, first_layer_grad=first_layer_grad,
        bn_statistics=bn_statistics,
    )  # fmt: skip
    yopo = YOPO(
        model, tuple(model[:depth]), M, N, EPS, ALPHA,
        reduction=reduction, first_layer_grad=first_layer_grad, bn_statistics=bn_statistics, generator=seeded(),
    )  # fmt: skip
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # what is there stays, unscaled
    yopo.accumulate(x, y)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name] + 1, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(yopo.eta, before if first_layer_grad == "backprop" else after, rtol=0, atol=1e-12)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, literal.get_buffer(name))
        if name.endswith("num_batches_tracked"):
            assert buffer == M


@GRADS
def test_full_passes_are_counted(first_layer_grad):
    model = relu_net()
    counts = {"forward": 0, "backward": 0}

    def count(name):
        def hook(*_):
            counts[name] += 1

        return hook

    model.register_forward_hook(count("forward"))
    model[-1].register_full_backward_hook(count("backward"))
    inner = []
    yopo = YOPO(model, tuple(model[:2]), M, N, EPS, ALPHA, first_layer_grad=first_layer_grad)
    ascend = yopo.first_layer.ascend
    yopo.first_layer.ascend = lambda *args, **options: inner.append(1) or ascend(*args, **options)
    yopo.accumulate(*batch(torch.float32))
    assert counts == {"forward": M, "backward": M}
    assert len(inner) == (M - 1 if first_layer_grad == "backprop" else M)


def test_metrics():
    model = relu_net()
    x, y = batch(torch.float32)
    model[-1].weight.data.zero_()
    model[-1].bias.data.copy_(torch.tensor([0.0, 1.0, 0.0]))
    metrics = YOPO(model, model[0], M, N, EPS, ALPHA).accumulate(x, y)
    assert {name: value.shape for name, value in metrics.items()} == dict.fromkeys(
        ("loss", "correct", "count"), torch.Size()
    )
    assert not any(value.requires_grad for value in metrics.values())
    assert (metrics["correct"], metrics["count"]) == (2, 6)
    torch.testing.assert_close(metrics["loss"], cross_entropy(model[-1].bias.expand(6, 3), y).detach())


def test_the_perturbation_is_feasible_and_raises_the_loss():
    model = relu_net()
    x, y = batch(torch.float32)
    yopo = YOPO(model, tuple(model[:2]), 10, 5, EPS, ALPHA, generator=seeded())
    yopo.accumulate(x, y)
    assert yopo.eta.abs().max() <= torch.tensor(EPS)
    assert (x + yopo.eta).min() >= 0
    assert (x + yopo.eta).max() <= 1
    with torch.no_grad():
        assert cross_entropy(model(x + yopo.eta), y) > cross_entropy(model(x), y)


def test_negative_alpha_descends():
    model = relu_net()
    x, y = batch(torch.float32)
    yopo = YOPO(model, tuple(model[:2]), 10, 5, EPS, -ALPHA)
    yopo.accumulate(x, y)
    with torch.no_grad():
        assert cross_entropy(model(x + yopo.eta), y) < cross_entropy(model(x), y)


def test_l2_and_no_steps():
    x, y = batch(torch.float32)
    model = relu_net()
    yopo = YOPO(model, model[0], 2, 3, 0.5, 0.2, norm="l2")
    yopo.accumulate(x, y)
    assert yopo.eta.flatten(1).norm(dim=1).max() <= 0.5 * (1 + 1e-6)
    frozen = YOPO(model, model[0], 2, 0, EPS, ALPHA, generator=seeded())
    frozen.accumulate(x, y)
    assert torch.equal(frozen.eta, random_start(x, eps=EPS, generator=seeded()))


def test_the_generator_decides():
    def gradient(seed):
        model = relu_net()
        YOPO(model, model[0], 2, 1, EPS, ALPHA, generator=seeded(seed)).accumulate(*batch(torch.float32))
        return model[0].weight.grad

    assert torch.equal(gradient(3), gradient(3))
    assert not torch.equal(gradient(3), gradient(4))


@GRADS
def test_autocast_to_bfloat16(first_layer_grad):
    gradients = []
    for enabled in (False, True):
        model = relu_net()
        yopo = YOPO(model, tuple(model[:2]), M, N, EPS, ALPHA, first_layer_grad=first_layer_grad, generator=seeded())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            yopo.accumulate(*batch(torch.float32))
        assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95
    assert not torch.equal(*gradients)


@GRADS
def test_a_frozen_first_layer_stays_frozen_and_the_rest_trains(first_layer_grad):
    x, y = batch()
    free, frozen = relu_net().double(), relu_net().double()
    frozen[0].requires_grad_(False)
    etas = []
    for model in (free, frozen):
        yopo = YOPO(
            model, tuple(model[:2]), M, N, EPS, ALPHA, first_layer_grad=first_layer_grad, generator=seeded()
        )  # fmt: skip
        yopo.accumulate(x, y)
        etas.append(yopo.eta)
    assert frozen[0].weight.grad is None
    assert not frozen[0].weight.requires_grad
    torch.testing.assert_close(frozen[2].weight.grad, free[2].weight.grad)
    # Its steps after the last pass would serve nothing.
    assert torch.equal(*etas) == (first_layer_grad == "backprop")


def test_a_model_in_eval_mode_keeps_its_statistics():
    x, y = batch()
    model = bn_net().double().eval()
    before = copy.deepcopy(dict(model.named_buffers()))
    yopo = YOPO(model, tuple(model[:3]), M, N, EPS, ALPHA)
    yopo.accumulate(x, y)
    assert yopo.explain(x).path == "operator"
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])


def test_a_deep_copy_is_independent():
    x, y = batch(torch.float32)
    model = relu_net()
    keys = list(model.state_dict())
    yopo = YOPO(model, model[0], M, N, EPS, ALPHA, generator=seeded())
    yopo.stopwatch = Stopwatch()
    yopo.accumulate(x, y)
    assert list(model.state_dict()) == keys
    gradient = model[0].weight.grad.clone()
    twin = copy.deepcopy(yopo)
    assert twin.first_layer.modules[0] is twin.model[0]
    twin.accumulate(x, y)
    assert torch.equal(model[0].weight.grad, gradient)
    assert not torch.equal(twin.model[0].weight.grad, gradient)
    model.zero_grad(), twin.model.zero_grad()
    yopo.accumulate(x, y), twin.accumulate(x, y)
    assert not torch.equal(yopo.eta, twin.eta)  # the twin's generator is one batch ahead


def test_the_stopwatch_sees_passes_and_inner():
    model = relu_net()
    yopo = YOPO(model, model[0])
    assert isinstance(yopo, Adversary)
    yopo.stopwatch = Stopwatch()
    yopo.accumulate(*batch(torch.float32))
    totals = yopo.stopwatch.totals()
    assert set(totals) == {"passes", "inner"}
    assert min(totals.values()) > 0


def test_images_that_require_grad_get_none():
    x, y = batch(torch.float32)
    model = relu_net()
    YOPO(model, model[0], 2, 1).accumulate(x.requires_grad_(), y)
    assert x.grad is None


def test_normalised_images_are_noticed_in_every_batch():
    x, y = batch(torch.float32)
    model = relu_net()
    normalised = (x - 0.5) / 0.25
    with pytest.raises(ValueError, match=r"from -\d.*bounds=\(0.0, 1.0\).*normalised.*std"):
        YOPO(model, model[0]).accumulate(normalised, y)
    YOPO(model, model[0], bounds=([-2.0] * 2, [2.0] * 2), eps=[0.1, 0.2], alpha=[0.05] * 2).accumulate(normalised, y)
    YOPO(model, model[0], bounds=None).accumulate(normalised, y)
    yopo = YOPO(model, model[0])
    yopo.accumulate(x, y)
    with pytest.raises(ValueError, match="normalised"):
        yopo.accumulate(normalised, y)


class Normalized(nn.Module):
    def __init__(self, dtype=None):
        super().__init__()
        self.net, self.dtype = relu_net(), dtype

    def forward(self, x):
        return self.net(x / 0.25 - 2 if self.dtype is None else x.to(self.dtype).float())


def test_normalisation_left_out_of_the_first_layer_is_noticed():
    x, y = batch(torch.float32)
    model = Normalized()
    with pytest.raises(RuntimeError, match=r"first_layer \(Conv2d\).*relative error 0[.]75.*normalisation"):
        YOPO(model, model.net[0]).accumulate(x, y)
    assert not model.net[0]._forward_pre_hooks
    rounding = Normalized(torch.bfloat16)
    YOPO(rounding, rounding.net[0]).accumulate(x, y)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"m": 0}, ValueError, "m: got 0"),
        ({"m": 2.0}, TypeError, "m: got 2.0"),
        ({"n": -1}, ValueError, "n: got -1"),
        ({"n": True}, TypeError, "n: got True"),
        ({"norm": "l1"}, ValueError, "norm"),
        ({"reduction": "none"}, ValueError, "reduction"),
        ({"first_layer_grad": "paper"}, ValueError, "first_layer_grad"),
        ({"first_layer": "conv"}, TypeError, "first_layer"),
        ({"eps": -1.0}, ValueError, "eps"),
        ({"alpha": float("nan")}, ValueError, "alpha"),
        ({"loss": lambda logits, y: cross_entropy(logits, y, reduction="none")}, ValueError, "loss"),
        ({"direction": "up"}, ValueError, "direction"),
        ({"precision": "double"}, ValueError, "precision"),
        ({"backend": "tpu"}, ValueError, "backend"),
        ({"bn_mode": "eval"}, TypeError, "bn_mode"),
    ],
)
def test_bad_arguments_are_named(change, error, name):
    model = relu_net()
    with pytest.raises(error, match=name):
        YOPO(**{"model": model, "first_layer": model[0], **change}).accumulate(*batch(torch.float32))


def test_images_of_bytes_are_refused():
    model = relu_net()
    x, y = batch(torch.float32)
    with pytest.raises(TypeError, match=r"x: got torch[.]uint8"):
        YOPO(model, model[0]).accumulate((x * 255).byte(), y)


@GRADS
def test_direction_precision_and_backend_reach_the_operators(first_layer_grad, monkeypatch):
    x, y = batch(torch.float32)
    seen = []
    ascend, gradients = torch_backend.inner_ascent, torch_backend.hamiltonian_gradients

    def spied(call):
        seen.append((call.direction, call.precision))
        return ascend(call)

    def spied_too(call, wanted):
        seen.append(("sign", call.precision))
        return gradients(call, wanted)

    monkeypatch.setattr(torch_backend, "inner_ascent", spied)
    monkeypatch.setattr(torch_backend, "hamiltonian_gradients", spied_too)
    model = relu_net()
    where = {"precision": "highest", "backend": "torch"}
    yopo = YOPO(model, tuple(model[:2]), 2, 1, first_layer_grad=first_layer_grad, **where)
    assert yopo.explain(x).backend.backend == "torch"
    yopo.accumulate(x, y)
    assert set(seen) == {("sign", "highest")}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_gradient_step_is_that_of_the_passs_own_loss(reduction):
    """Whatever the gradients of the m passes are scaled with."""
    x, y = batch()
    model = relu_net().double()
    yopo = YOPO(model, model[0], 2, 1, EPS, 0.3, reduction=reduction, direction="gradient", generator=seeded())
    eta, losses = random_start(x, eps=EPS, generator=seeded()), []
    other = relu_net().double()
    for _ in range(2):
        leaf = eta.clone().requires_grad_()
        cross_entropy(other(x + leaf), y).backward()
        eta = (eta + torch.tensor(0.3).double() * leaf.grad).clamp(-torch.tensor(EPS).double(), torch.tensor(EPS))
        eta = eta.clamp(0 - x, 1 - x)
        losses.append(leaf.grad.abs().max())
    yopo.accumulate(x, y)
    assert min(losses) > 0
    torch.testing.assert_close(yopo.eta, eta, rtol=0, atol=1e-12)


@GRADS
def test_a_backend_that_cannot_run_is_refused_before_anything_is_added(first_layer_grad):
    x, y = batch(torch.float32)
    for make, depth, words in ((relu_net, 2, "cannot run this call"), (bn_net, 2, "runs through autograd")):
        model = make()
        backend = "cuda" if make is relu_net else "torch"
        yopo = YOPO(
            model, tuple(model[:depth]), first_layer_grad=first_layer_grad, bn_statistics="batch", backend=backend
        )  # fmt: skip
        with pytest.raises(RuntimeError, match=words):
            yopo.accumulate(x, y)
        assert all(parameter.grad is None for parameter in model.parameters())


def test_a_ball_set_between_mini_batches_is_the_next_ones():
    x, y = batch(torch.float32)
    model = relu_net()
    yopo = YOPO(model, model[0], 2, 1, EPS, ALPHA)
    yopo.ball = yopo.ball.scaled(0.5)
    yopo.accumulate(x, y)
    assert yopo.eta.abs().max() <= torch.tensor(EPS / 2)
