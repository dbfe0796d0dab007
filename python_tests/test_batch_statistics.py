# SPDX-License-Identifier: MIT
"""Batch norm in training mode inside the first layer, held during the inner steps at what it used in the pass."""

import copy

import pytest
import torch
from differential import SHAPES, Problem, Shape, gradient_error_bound, make_problem, needs_tiles
from joint_moments import joint_moments
from torch import nn
from torch.nn import functional as F

from yopo_ext import FirstLayer, capture_costate
from yopo_ext.batch_statistics import batch_moments, held_at
from yopo_ext.costate import cut_at_first_layer
from yopo_ext.models import Normalize

EPS, ALPHA = 8 / 255, 3 / 255
BUDGET = {"eps": EPS, "alpha": ALPHA}
CATCH = pytest.mark.parametrize("catch", [capture_costate, cut_at_first_layer], ids=["whole", "cut"])


def norm_of(channels=4, **options):
    norm = nn.BatchNorm2d(channels, **options)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        if tensor is not None:
            nn.init.normal_(tensor)
    return norm


class Between(nn.Module):
    """Batch norm inside a module that nobody reads."""

    def __init__(self):
        super().__init__()
        self.norm = norm_of()

    def forward(self, z):
        return self.norm(z) * 1.0


def dead_channel():
    """Its variance is 0, its mean is not."""
    conv = nn.Conv2d(3, 4, 3)
    nn.init.zeros_(conv.weight[1])
    return conv


KERNELS = {
    "relu": lambda: (nn.Conv2d(3, 4, 3, bias=False), norm_of(), nn.ReLU(inplace=True)),
    "normalised": lambda: (Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]), nn.Conv2d(3, 4, 3), norm_of(), nn.ELU()),
    "linear": lambda: (nn.Conv2d(3, 4, 3, stride=2, padding=1), norm_of()),
    "not affine": lambda: (nn.Conv2d(3, 4, 3), norm_of(affine=False), nn.Tanh()),
    "cumulative": lambda: (nn.Conv2d(3, 4, 3), norm_of(momentum=None), nn.Tanh()),
    "untracked": lambda: (nn.Conv2d(3, 4, 3), norm_of(track_running_stats=False), nn.Tanh()),
    "untracked in eval": lambda: (nn.Conv2d(3, 4, 3), norm_of(track_running_stats=False).eval(), nn.Tanh()),
    "dead channel": lambda: (dead_channel(), norm_of(), nn.Tanh()),
    "sequential": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(norm_of(), nn.SiLU())),),
    "synchronised, alone": lambda: (nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4), nn.Tanh()),
}
AUTOGRAD = {
    "groups": lambda: (nn.Conv2d(3, 6, 3, groups=3), norm_of(6), nn.ReLU()),
    "Softsign": lambda: (nn.Conv2d(3, 4, 3), norm_of(), nn.Softsign()),
    "inside": lambda: (nn.Conv2d(3, 4, 3), Between(), nn.Tanh()),
    "two of them": lambda: (nn.Conv2d(3, 4, 3), norm_of(), nn.Tanh(), nn.Conv2d(4, 4, 3), norm_of()),
}
LAYERS = {**KERNELS, **AUTOGRAD}


def build(name, batch=3):
    torch.manual_seed(0)
    layer = FirstLayer(tuple(module.double() for module in LAYERS[name]()))
    x = torch.rand(batch, 3, 7, 6, dtype=torch.float64)
    eta = EPS * (2 * torch.rand_like(x) - 1)
    with torch.no_grad():
        return layer, x, eta, torch.randn_like(evaluate(copy.deepcopy(layer.modules), x))


def evaluate(modules, u):
    for module in modules:
        u = module(u)
    return u


def passed(layer, u, p, catch=capture_costate):
    """The costate of a pass at u whose p is this one."""
    with catch(layer) as costate:
        (evaluate(layer.modules, u) * p).sum().backward()
    return costate


def by_hand(modules, u):
    """Mean and variance of what each batch norm gets, written out, on copies."""
    found, handles = [], []

    def note(norm, args):
        z = args[0]
        mean = z.mean((0, 2, 3))
        found.append((mean, (z - mean[:, None, None]).square().mean((0, 2, 3))))

    modules = copy.deepcopy(modules)
    for root in modules:
        for norm in root.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                handles.append(norm.register_forward_pre_hook(note))
    with torch.no_grad():
        evaluate(modules, u)
    return found


def with_running_statistics(modules, moments):
    """Copies in eval mode whose running statistics are these."""
    modules, moments = copy.deepcopy(modules), iter(moments)
    for root in modules:
        for norm in root.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.eval()
                norm.running_mean, norm.running_var = next(moments)
    return modules


@CATCH
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_caught_is_what_batch_norm_used(name, batch, catch):
    layer, x, eta, p = build(name, batch)
    expected, plain = by_hand(layer.modules, x + eta), copy.deepcopy(layer.modules)
    evaluate(plain, x + eta)
    costate = passed(layer, x + eta, p, catch)
    for (mean, var), wanted in zip(costate.statistics.values(), expected, strict=True):
        torch.testing.assert_close((mean, var), wanted, rtol=1e-12, atol=1e-14)
        assert not mean.requires_grad
    for module, twin in zip(layer.modules, plain, strict=True):  # the pass was an ordinary one
        for key, value in module.state_dict().items():
            assert torch.equal(value, twin.state_dict()[key]), key


@pytest.mark.parametrize("name", LAYERS)
def test_the_steps_are_those_of_eval_mode_with_these_statistics(name):
    layer, x, eta, p = build(name)
    expected = by_hand(layer.modules, x + eta)
    costate = passed(layer, x + eta, p)
    before = [copy.deepcopy(module.state_dict()) for module in layer.modules]
    found = layer.inner_ascent(x, eta, costate.value, statistics=costate.statistics, steps=4, **BUDGET)
    twin = FirstLayer(with_running_statistics(layer.modules, expected))
    assert twin.explain().bn_statistics is None
    torch.testing.assert_close(found, twin.inner_ascent(x, eta, p, steps=4, **BUDGET), rtol=0, atol=1e-12)
    assert not torch.equal(found, eta)
    explanation = layer.explain(x)
    assert (explanation.path, explanation.bn_statistics) == ("operator" if name in KERNELS else "autograd", "frozen")
    assert "at those of the pass" in str(explanation)
    for module, state in zip(layer.modules, before, strict=True):
        assert module.training == (name != "untracked in eval" or not isinstance(module, nn.BatchNorm2d))
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", LAYERS)
def test_the_hamiltonian_is_exact_and_held_where_statistics_are_given(name):
    layer, x, eta, p = build(name)
    u = x + eta + 0.05
    costate = passed(layer, x + eta, p)
    for given in (None, costate.statistics):
        if given is None:
            twin = copy.deepcopy(layer.modules)
        else:
            twin = with_running_statistics(layer.modules, by_hand(layer.modules, x + eta))
        leaf, other = u.clone().requires_grad_(), u.clone().requires_grad_()
        parameters = [leaf, *layer.parameters()]
        ours = torch.autograd.grad(layer.hamiltonian(leaf, p, statistics=given), parameters)
        theirs = [other, *FirstLayer(twin).parameters()]
        torch.testing.assert_close(ours, torch.autograd.grad((evaluate(twin, other * 1.0) * p).sum(), theirs))


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_parameters_own_gradient_has_the_statistics_of_its_images(name, backend):
    layer, x, eta, p = build(name)
    twin = copy.deepcopy(layer.modules)
    expected = torch.autograd.grad((evaluate(twin, x + eta) * p).sum(), list(FirstLayer(twin).parameters()))
    layer.accumulate_hamiltonian(x + eta, p, backend=backend)
    torch.testing.assert_close([parameter.grad for parameter in layer.parameters()], list(expected))


def literal_gradient(problem: Problem, norm: nn.BatchNorm2d) -> torch.Tensor:
    """g of one step by the formula, in float64, from the statistics of the pass at x + η."""
    x, eta, p, weight, *_ = problem.double()
    geometry = {name: problem.layer[name] for name in ("stride", "padding", "dilation")}
    mean, std = (torch.tensor(problem.layer[name]).double().reshape(-1, 1, 1) for name in ("mean", "std"))
    z = F.conv2d((x + eta - mean) / std, weight, **geometry)
    mu = z.mean((0, 2, 3), keepdim=True)
    sigma = ((z - mu).square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
    gamma, beta = (one.double().detach().reshape(-1, 1, 1) for one in (norm.weight, norm.bias))
    y = gamma * (z - mu) / sigma + beta
    slope = {"identity": 1.0, "relu": (y > 0).double(), "tanh": 1 - y.tanh().square()}[problem.layer["activation"]]
    return torch.nn.grad.conv2d_input(x.shape, weight, p * slope * gamma / sigma, **geometry) / std


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[1], SHAPES[4], Shape(1, 3, 12, 10, 8, stride=(2, 2))], ids=str)
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_one_step_on_every_backend(backend, shape, activation):
    """Against the formula: exact where the sign of g is certain."""
    problem = make_problem(shape, activation=activation, bias=False, normalize=True)
    low, high = torch.maximum(torch.tensor(-EPS), -problem.x), torch.minimum(torch.tensor(EPS), 1 - problem.x)
    problem.eta = problem.eta.clamp(low, high)
    act = {"identity": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}[activation]()
    normalize = Normalize(problem.layer["mean"], problem.layer["std"])
    geometry = {name: getattr(shape, name) for name in ("stride", "padding", "dilation")}
    conv = nn.Conv2d(shape.channels, shape.out_channels, shape.kernel, bias=False, **geometry)
    conv.weight.data.copy_(problem.weight)
    layer = FirstLayer((normalize, conv, norm := norm_of(shape.out_channels), act))
    costate = passed(layer, problem.u, problem.p)
    torch.testing.assert_close(costate.value, problem.p)
    g = literal_gradient(problem, norm)

    mean, var = costate.statistics[norm]
    scale = (norm.weight / (var + norm.eps).sqrt()).detach()
    problem.weight, problem.bias = problem.weight * scale.reshape(-1, 1, 1, 1), (norm.bias - mean * scale).detach()
    needs_tiles(problem, backend)
    found = layer.inner_ascent(
        problem.x, problem.eta, problem.p, statistics=costate.statistics, steps=1, **BUDGET, backend=backend
    )
    certain = g.abs() > 4 * gradient_error_bound(problem)  # the folded weights are rounded too
    assert certain.double().mean() > 0.9
    expected = (problem.eta.double() + ALPHA * g.sign()).clamp(low.double(), high.double())
    torch.testing.assert_close(found.double()[certain], expected[certain], rtol=1e-6, atol=3e-7)
    assert layer.explain(problem.x, backend=backend).backend.backend == backend


@CATCH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_statistics_are_of_what_the_module_got(catch, dtype):
    torch.manual_seed(0)
    layer = FirstLayer((Normalize([0.5] * 3, [0.25] * 3), nn.Conv2d(3, 4, 3), norm := norm_of(), nn.ReLU()))
    x, seen = torch.rand(5, 3, 9, 9), []
    norm.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    with torch.autocast("cpu", dtype), catch(layer) as costate:
        evaluate(layer.modules, x).float().square().sum().backward()
    (z,) = seen
    mean, var = costate.statistics[norm]
    assert (z.dtype, mean.dtype, var.dtype) == (dtype, torch.float32, torch.float32)
    torch.testing.assert_close(mean, z.float().mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(var, z.float().var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-6)


def test_other_devices_have_the_same_moments():
    """Where torch has no routine of batch norm's own (here: on no device) the sums are the usual ones."""
    z = torch.randn(4, 3, 5, 5) + 7

    class Elsewhere(torch.Tensor):
        device = torch.device("meta")

    ours = batch_moments(nn.BatchNorm2d(3), z)
    theirs = batch_moments(nn.BatchNorm2d(3), z.as_subclass(Elsewhere))
    torch.testing.assert_close(tuple(ours), tuple(one.as_subclass(torch.Tensor) for one in theirs))
    assert all(one.shape == (3,) for one in batch_moments(nn.BatchNorm2d(3), z[:0]))


def test_a_batch_norm_in_eval_mode_is_not_touched():
    layer, x, eta, p = build("relu")
    layer.modules[1].eval()
    costate = passed(layer, x + eta, p)
    assert costate.statistics == {}
    plain = layer.inner_ascent(x, eta, p, steps=3, **BUDGET)
    stale = {layer.modules[1]: (torch.full((4,), 9.0).double(), torch.full((4,), 9.0).double())}
    assert torch.equal(plain, layer.inner_ascent(x, eta, p, statistics=stale, steps=3, **BUDGET))


def test_a_copy_is_held_by_its_own_modules():
    layer, x, eta, p = build("relu")
    twin = copy.deepcopy(layer)
    assert twin.bn_statistics == FirstLayer(layer).bn_statistics == "frozen"
    assert FirstLayer(FirstLayer(layer, "batch")).bn_statistics == "batch"
    costate = passed(twin, x + eta, p)
    assert list(costate.statistics) == [twin.modules[1]]
    with pytest.raises(ValueError, match="statistics: got none for the first layer's BatchNorm2d"):
        layer.inner_ascent(x, eta, p, statistics=costate.statistics, steps=1, **BUDGET)


def test_modules_are_as_before_after_an_error():
    norm = norm_of(track_running_stats=False)
    with pytest.raises(RuntimeError, match="running_mean"), held_at({norm: (torch.zeros(5), torch.ones(5))}):
        norm(torch.zeros(2, 4, 4, 4))
    assert norm.training
    assert norm.running_mean is None


def test_missing_and_unwanted_statistics_are_named():
    layer, x, eta, p = build("relu")
    with pytest.raises(ValueError, match=r"statistics: got None.*costate[.]statistics.*bn_statistics=\"batch\""):
        layer.inner_ascent(x, eta, p, steps=1, **BUDGET)
    short = {layer.modules[1]: (torch.zeros(1), torch.ones(1))}
    with pytest.raises(ValueError, match=r"statistics: got a mean of shape \(1,\).*expected \(4,\)"):
        layer.inner_ascent(x, eta, p, statistics=short, steps=1, **BUDGET)
    exact = FirstLayer(layer, "batch")
    assert passed(exact, x + eta, p).statistics == {}
    with pytest.raises(ValueError, match='statistics: got some beside bn_statistics="batch"'):
        exact.inner_ascent(x, eta, p, statistics=passed(layer, x, p).statistics, steps=1, **BUDGET)
    with pytest.raises(ValueError, match="bn_statistics: got 'running', expected one of"):
        FirstLayer(layer, "running")


def test_a_batch_norm_that_is_called_again_or_never():
    norm = norm_of(4)
    shared = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Tanh(), norm)
    with (
        pytest.raises(RuntimeError, match=r"batch norm.*called again.*bn_statistics=\"batch\""),
        capture_costate(shared),
    ):
        shared(torch.rand(2, 3, 5, 5))
    with capture_costate(FirstLayer(shared, "batch")):
        shared(torch.rand(2, 3, 5, 5)).sum().backward()

    class Spare(nn.Conv2d):
        def __init__(self):
            super().__init__(3, 4, 3)
            self.norm = norm_of(4)

    layer = FirstLayer(Spare())
    costate = passed(layer, torch.rand(2, 3, 5, 5), torch.rand(2, 4, 3, 3))
    with pytest.raises(RuntimeError, match=r"was never called.*compiled region"):
        costate.statistics  # noqa: B018


def test_compiled_modules():
    """One by one they are seen; inside one compiled region batch norm is not, and that is said."""
    torch.compiler.reset()
    conv, norm, act = build("relu")[0].modules
    compiled = FirstLayer((conv, torch.compile(norm, backend="eager"), act))
    x, p = torch.rand(2, 3, 7, 6).double(), torch.randn(2, 4, 5, 4).double()
    costate = passed(compiled, x, p)
    torch.testing.assert_close(tuple(costate.statistics[norm]), by_hand((conv, norm, act), x)[0])
    eta = compiled.inner_ascent(x, 0 * x, p, statistics=costate.statistics, steps=2, **BUDGET)
    assert torch.equal(
        eta, FirstLayer((conv, norm, act)).inner_ascent(x, 0 * x, p, statistics=costate.statistics, steps=2, **BUDGET)
    )
    whole = torch.compile(nn.Sequential(conv, norm, act), backend="eager")
    whole(x)  # compiled now, without hooks
    costate = passed(FirstLayer(whole), x, p)
    with pytest.raises(RuntimeError, match="compiled region"):
        costate.statistics  # noqa: B018
    torch.compiler.reset()


def test_synchronised_batch_norm_has_the_moments_of_all_processes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    sizes = (5, 2)
    parts = [
        torch.randn(size, 3, 4, 4, generator=generator, dtype=torch.float64) + 10 * rank
        for rank, size in enumerate(sizes)
    ]
    torch.multiprocessing.spawn(joint_moments, (str(tmp_path / "rendezvous"), parts), nprocs=2)
