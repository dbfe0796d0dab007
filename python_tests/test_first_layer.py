# SPDX-License-Identifier: MIT
"""FirstLayer against the modules themselves, differentiated by autograd in float64."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from yopo_ext import FirstLayer

EPS, ALPHA = 8 / 255, 3 / 255


class Normalize(nn.Module):
    def __init__(self, shape=(3, 1, 1)):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(shape))
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3]).reshape(shape))

    def forward(self, x):
        return (x - self.mean.reshape(-1, 1, 1)) / self.std.reshape(-1, 1, 1)


class Columns(nn.Module):
    """Subtracts a value per column."""

    def __init__(self):
        super().__init__()
        self.mean, self.std = torch.rand(1, 1, 6), torch.ones(1, 1, 6)

    def forward(self, x):
        return (x - self.mean) / self.std


class Stem(nn.Module):
    """Has mean and std, but is more than a normalisation."""

    def __init__(self):
        super().__init__()
        self.mean, self.std = 0.5, 0.25
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv((x - self.mean) / self.std).square()


def batch_norm(training: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return norm.train(training)


OPERATOR = {
    "conv": lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "valid": lambda: nn.Conv2d(3, 4, 3, padding="valid", bias=False),
    "same": lambda: nn.Conv2d(3, 4, (3, 5), padding="same", dilation=2),
    "normalise, conv, relu": lambda: nn.Sequential(Normalize(), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)),
    "normalise (1, C, 1, 1)": lambda: (Normalize((1, 3, 1, 1)), nn.Conv2d(3, 4, 3, padding=1)),
    "conv, batch norm": lambda: (nn.Conv2d(3, 4, 3, bias=False), batch_norm(False)),
    "conv, batch norm, elu": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), batch_norm(False), nn.ELU(0.7)),
    "batch norm without affine": lambda: (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False).eval()),
    "nested, dropout in eval": lambda: nn.Sequential(
        nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 3)), nn.Dropout2d().eval(), nn.GELU("tanh")
    ),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
}
AUTOGRAD = {
    "groups": lambda: nn.Conv2d(3, 6, 3, groups=3),
    "padding_mode": lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "not symmetric": lambda: nn.Conv2d(3, 4, 2, padding="same"),
    "training mode": lambda: (nn.Conv2d(3, 4, 3), batch_norm(True), nn.Tanh()),
    "Softsign": lambda: (nn.Conv2d(3, 4, 3), nn.Softsign()),
    "follows the activation": lambda: (nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AvgPool2d(2)),
    "found Stem": Stem,
    "not one value per channel": lambda: (Columns(), nn.Conv2d(3, 4, 3)),
    "found ELU": lambda: (nn.ELU(inplace=True), nn.Conv2d(3, 4, 3)),
}


def build(make):
    torch.manual_seed(0)
    made = make()
    modules = made if isinstance(made, tuple) else (made,)
    return FirstLayer(tuple(module.double() for module in modules), bn_statistics="batch")


def data(layer):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 7, 6, generator=generator, dtype=torch.float64)
    eta = EPS * (2 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 1)
    with torch.no_grad():
        shape = copy.deepcopy(layer).evaluate(x).shape
    return x, eta, torch.randn(shape, generator=generator, dtype=torch.float64)


def evaluate(layer, u):
    for module in copy.copy(layer.modules):
        u = module(u)
    return u


def slow_ascent(layer, x, eta, p, steps):
    """DESIGN: clamp(eta + alpha sign(g)) to the interval, written out."""
    eps = torch.tensor(EPS).double()
    lower, upper = torch.maximum(-eps, 0 - x), torch.minimum(eps, 1 - x)
    eta = eta.clamp(lower, upper)
    for _ in range(steps):
        leaf = eta.clone().requires_grad_()
        g = torch.autograd.grad((evaluate(layer, x + leaf) * p).sum(), leaf)[0]
        eta = (eta + torch.tensor(ALPHA).double() * g.sign()).clamp(lower, upper)
    return eta


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", [*OPERATOR, *AUTOGRAD])
def test_inner_ascent_walks_where_autograd_does(name):
    layer = build({**OPERATOR, **AUTOGRAD}[name])
    x, eta, p = data(layer)
    result = layer.inner_ascent(x, eta, p, eps=EPS, alpha=ALPHA, steps=3)
    expected = slow_ascent(copy.deepcopy(layer), x, eta, p, 3)
    assert not result.requires_grad
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    assert not torch.equal(result, eta)


@pytest.mark.parametrize("name", [*OPERATOR, *AUTOGRAD])
def test_gradients_of_the_hamiltonian_are_those_of_the_modules(name):
    layer = build({**OPERATOR, **AUTOGRAD}[name])
    x, eta, p = data(layer)
    u = (x + eta).requires_grad_()
    parameters = list(layer.parameters())
    twin = copy.deepcopy(layer)
    h = (evaluate(twin, u * 1.0) * p).sum()
    expected = torch.autograd.grad(h, [*twin.parameters(), u])
    result = layer.hamiltonian(u, p)
    torch.testing.assert_close(result, h)
    for got, want in zip(torch.autograd.grad(result, [*parameters, u]), expected, strict=True):
        torch.testing.assert_close(got, want)

    parameters[0].grad = torch.ones_like(parameters[0])
    layer.accumulate_hamiltonian(u, p, scale=0.5)
    assert u.grad is None
    assert torch.equal(u, x + eta)
    for index, (parameter, want) in enumerate(zip(parameters, expected[:-1], strict=True)):
        torch.testing.assert_close(parameter.grad, 0.5 * want + (1.0 if index == 0 else 0.0))


@pytest.mark.parametrize("name", OPERATOR)
def test_known_layers_take_the_operators(name):
    layer = build(OPERATOR[name])
    x, _, p = data(layer)
    explanation = layer.explain(x, p=p)
    assert explanation.path == "operator"
    assert explanation.backend.backend == "torch"  # float64
    assert "torch" in str(explanation)
    assert layer.explain(x).backend == explanation.backend  # p's shape is found out


@pytest.mark.parametrize("reason", AUTOGRAD)
def test_other_layers_go_through_autograd_and_say_why(reason):
    layer = build(AUTOGRAD[reason])
    explanation = layer.explain()
    assert explanation.path == "autograd"
    assert reason in explanation.reason
    assert reason in str(explanation)
    x, eta, p = data(layer)
    with pytest.raises(RuntimeError, match=r"backend.*autograd"):
        layer.inner_ascent(x, eta, p, eps=EPS, alpha=ALPHA, steps=1, backend="torch")


def test_a_hook_that_changes_the_output_counts():
    conv = nn.Conv2d(3, 4, 3)
    conv.register_forward_hook(lambda module, args, output: output.square())
    layer = build(lambda: conv)
    assert "forward hooks" in layer.explain().reason
    x, _, p = data(layer)
    torch.testing.assert_close(layer.hamiltonian(x, p), (conv(x) * p).sum())


def test_a_learnable_normalisation_gets_its_gradient():
    normalize = Normalize()
    normalize.mean = nn.Parameter(normalize._buffers.pop("mean"))
    layer = build(lambda: (normalize, nn.Conv2d(3, 4, 3)))
    x, _, p = data(layer)
    layer.accumulate_hamiltonian(x, p)
    assert normalize.mean.grad.abs().min() > 0


@pytest.mark.parametrize("training", [True, False])
def test_buffers_stay_as_they_are(training):
    conv = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    layer = build(lambda: (conv, batch_norm(training), nn.Softsign()))
    x, eta, p = data(layer)
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in layer.modules]
    layer.inner_ascent(x, eta, p, eps=EPS, alpha=ALPHA, steps=2)
    layer.accumulate_hamiltonian(x, p)
    for module, state in zip(layer.modules, before, strict=True):
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key]), key


def test_weights_and_mode_are_read_at_every_call():
    layer = build(lambda: (nn.Conv2d(3, 4, 3), batch_norm(False)))
    x, _, p = data(layer)
    before = layer.hamiltonian(x, p)
    with torch.no_grad():
        layer.modules[0].weight.mul_(2)
    assert not torch.allclose(layer.hamiltonian(x, p), before)
    assert layer.explain().path == "operator"
    layer.modules[1].train()
    assert layer.explain().path == "autograd"


def test_float32_takes_half_precision_costates():
    for make in (OPERATOR["normalise, conv, relu"], AUTOGRAD["Softsign"]):
        layer = build(make)
        x, eta, p = data(layer)
        for module in layer.modules:
            module.float()
        x, eta, p = x.float(), eta.float(), p.to(torch.bfloat16)
        options = {"eps": EPS, "alpha": ALPHA, "steps": 1}
        with torch.autocast("cpu"):
            half = layer.inner_ascent(x, eta, p, **options)
        assert half.dtype == torch.float32
        assert torch.equal(half, layer.inner_ascent(x, eta, p.float(), **options))


def test_frozen_parameters_get_nothing():
    layer = build(lambda: (nn.Conv2d(3, 4, 3), batch_norm(False)))
    x, _, p = data(layer)
    conv, norm = layer.modules
    for parameter in (conv.weight, conv.bias, norm.bias):
        parameter.requires_grad_(False)
    layer.accumulate_hamiltonian(x, p)
    assert conv.weight.grad is None
    assert norm.weight.grad.abs().sum() > 0
    norm.weight.requires_grad_(False)
    assert not layer.trains
    layer.accumulate_hamiltonian(x, p)


def test_copies_follow_the_model_and_add_no_keys():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    keys = list(model.state_dict())
    model.first = FirstLayer(model)
    assert list(model.state_dict()) == keys
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.first.modules[0] is twin
        assert twin.first.modules[0][0] is not model[0]


def test_compiled_modules_are_read_through():
    conv = nn.Conv2d(3, 4, 3)
    layer = FirstLayer(torch.compile(conv, backend="eager"))
    assert layer.explain().path == "operator"
    assert next(iter(layer.parameters())) is conv.weight


@pytest.mark.parametrize(
    ("given", "error"),
    [("conv", TypeError), ((), ValueError), ((nn.ReLU(), 3), TypeError), (None, TypeError)],
)
def test_what_is_no_layer_raises(given, error):
    with pytest.raises(error, match="first_layer"):
        FirstLayer(given)


@pytest.mark.parametrize(
    ("change", "error", "names"),
    [
        ({"steps": -1}, ValueError, "steps"),
        ({"eps": -0.1}, ValueError, "eps"),
        ({"norm": "l1"}, ValueError, "norm"),
        ({"bounds": (1.0, 0.0)}, ValueError, "bounds"),
        ({"direction": "up"}, ValueError, "direction"),
        ({"precision": "foo"}, ValueError, "precision"),
        ({"x": "a"}, TypeError, "x: got str"),
        ({"x": torch.zeros(2, 3)}, ValueError, "x: got shape"),
        ({"p": torch.zeros(2, 4, 1, 1).double()}, ValueError, "p: got shape"),
        ({"p": torch.zeros(2, 4, 1, 1).int()}, TypeError, "p: got torch.int32"),
        ({"p": None}, TypeError, "p: got NoneType"),
        ({"eta": torch.zeros(1).double()}, ValueError, "eta: got shape"),
        ({"eta": torch.zeros(1).long()}, TypeError, "eta: got torch.int64"),
        ({"eta": torch.zeros(1)}, TypeError, "eta: got torch.float32"),
    ],
)
@pytest.mark.parametrize("make", [OPERATOR["conv"], AUTOGRAD["Softsign"]], ids=["operator", "autograd"])
def test_bad_arguments_are_named(make, change, error, names):
    layer = build(make)
    x, eta, p = data(layer)
    given = {"x": x, "eta": eta.double(), "p": p.double(), "eps": EPS, "alpha": ALPHA, "steps": 1, **change}
    with pytest.raises(error, match=names):
        layer.inner_ascent(**given)


@pytest.mark.parametrize("change", [{"precision": "foo"}, {"u": "a"}, {"p": torch.zeros(2, 4, 1, 1).int()}])
@pytest.mark.parametrize("function", ["hamiltonian", "accumulate_hamiltonian"])
@pytest.mark.parametrize("make", [OPERATOR["conv"], AUTOGRAD["Softsign"]], ids=["operator", "autograd"])
def test_bad_arguments_of_the_hamiltonian_are_named(make, function, change):
    layer = build(make)
    x, _, p = data(layer)
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(change))}: got"):
        getattr(layer, function)(**{"u": x, "p": p.double(), **change})
