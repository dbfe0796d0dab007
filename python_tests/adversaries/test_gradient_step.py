# SPDX-License-Identifier: MIT
"""Attack steps that end in the first convolution's kernel are those of autograd, or are left to it."""

import copy

import pytest
import torch
from passes import seeded
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from yopo_ext import Ball, FirstLayer
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, Free, pgd
from yopo_ext.adversaries.consistency import Consistency
from yopo_ext.adversaries.gradient_step import GradientStep
from yopo_ext.adversaries.method import METHODS, Ingredients
from yopo_ext.adversaries.starts import Momentum
from yopo_ext.data import Batch
from yopo_ext.evaluation import PGDAttack
from yopo_ext.evaluation.image_batch import ImageBatch
from yopo_ext.models import SmallCNN
from yopo_ext.models.normalize import Normalize
from yopo_ext.native import why_not_native
from yopo_ext.objectives import cross_entropy as loss
from yopo_ext.objectives.objective import as_objective
from yopo_ext.training import make_config

pytestmark = pytest.mark.skipif(bool(why_not_native()), reason=f"no native kernels: {why_not_native()}")
EPS, ALPHA = 8 / 255, 2 / 255
BALL = Ball(EPS, ALPHA)
STEMS = {
    "conv": lambda: [nn.Conv2d(3, 8, 3, padding=1, bias=False)],
    "in place": lambda: [nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(inplace=True)],
    "normalised": lambda: [Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.2)), nn.Conv2d(3, 8, 3), nn.ELU()],
    "batch norm": lambda: [nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), nn.ReLU()],
}
METHODS_TRIED = {
    "pgd": lambda model, **how: PGD(model, BALL, 3, generator=seeded(), **how),
    "fgsm": lambda model, **how: FGSM(model, BALL, generator=seeded(), **how),
    "n-fgsm": lambda model, **how: NFGSM(model, BALL, generator=seeded(), **how),
    "trades": lambda model, **how: TRADES(model, BALL, 3, generator=seeded(), **how),
    "free": lambda model, **how: Free(model, BALL, 2, **how),
}


def net(stem="conv"):
    torch.manual_seed(0)
    first = STEMS[stem]()
    rest = [nn.Dropout(0.3), nn.Conv2d(8, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.LazyLinear(5)]
    model = nn.Sequential(*first, *rest)
    model.eval()(torch.zeros(1, 3, 16, 16))
    return model.train(), tuple(model[: len(first)])


def batch(count=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 16, 16, generator=generator), torch.arange(count) % 5


def kernel_calls(monkeypatch):
    """The steps of all calls of a first layer's kernel."""
    calls, original = [], FirstLayer.inner_ascent

    def counted(self, *args, **options):
        calls.append(options["steps"])
        return original(self, *args, **options)

    monkeypatch.setattr(FirstLayer, "inner_ascent", counted)
    return calls


@pytest.mark.parametrize("method", METHODS_TRIED)
@pytest.mark.parametrize("stem", STEMS)
def test_eta_gradients_and_buffers_are_those_of_autograd(stem, method, monkeypatch):
    found, calls = [], kernel_calls(monkeypatch)
    for how in ("off", "auto"):
        model, first_layer = net(stem)
        adversary = METHODS_TRIED[method](model, first_layer=first_layer, in_kernel=how)
        torch.manual_seed(3)  # of the dropout
        for seed in (1, 2):
            adversary.accumulate(*batch(seed=seed))
        found.append((adversary.eta, [one.grad for one in model.parameters()], model.state_dict(), torch.rand(1)))
        assert len(calls) == (0 if how == "off" else 2 * {"fgsm": 1, "n-fgsm": 1, "free": 1}.get(method, 3))
    assert str(adversary.explain(batch()[0])).startswith("attack steps by autograd down to the first convolution")
    off, auto = found
    assert (off[0] != auto[0]).float().mean() < 1e-3  # signs of what is 0 to rounding
    for ours, expected in zip(auto[1], off[1], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(auto[2], off[2], rtol=1e-5, atol=1e-6)  # running statistics moved as often
    assert torch.equal(off[3], auto[3])


def test_a_step_is_that_of_the_exact_gradient_where_it_is_beyond_rounding():
    model, first_layer = net("batch norm")
    model.eval()
    x, y = batch()
    eta = pgd(model, x, y, eps=EPS, alpha=ALPHA, steps=1, random_start=False, first_layer=first_layer, in_kernel="on")
    leaf = x.double().requires_grad_()
    g = torch.autograd.grad(cross_entropy(copy.deepcopy(model).double()(leaf), y), leaf)[0]
    sure = g.abs() > 1e-5 * g.abs().amax(dim=(1, 2, 3), keepdim=True)
    assert sure.float().mean() > 0.8
    expected = (torch.tensor(ALPHA) * g.sign().float()).clamp(-x, 1 - x)
    assert torch.equal(eta[sure], expected[sure])


def test_no_weight_gets_a_gradient_from_the_attack():
    model, first_layer = net()
    made = []
    for parameter in model.parameters():
        parameter.register_hook(lambda grad: made.append(grad))
    pgd(model, *batch(), eps=EPS, alpha=ALPHA, steps=3, first_layer=first_layer)
    assert made == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_makes_no_difference_when_the_check_is_made():
    """A resumed run checks in another mini-batch than the run that was never stopped."""
    found = []
    for seeds in ((1, 2), (2,)):
        model, first_layer = net()
        model.eval()
        adversary = PGD(model, BALL, 3, random_start=False, first_layer=first_layer)
        for seed in seeds:
            adversary.accumulate(*batch(seed=seed))
        found.append(adversary.eta)
    assert torch.equal(*found)


class Around(nn.Module):
    """A network whose images do not all go through its first convolution once."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.first, self.other = kind, nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.last = nn.Linear(8 * 14 * 14, 5)

    def forward(self, x):
        if self.kind == "called twice":
            z = self.first(x) + self.first(1 - x)
        elif self.kind == "skip":
            z = self.first(x) + x[:, :1, 1:-1, 1:-1]
        elif self.kind == "one of two":
            z = self.first(x) + self.other(x)
        elif self.kind == "another scale":
            z = self.first(x * x)
        elif self.kind == "checkpointed":
            z = checkpoint(lambda u: torch.relu(self.first(u)), x, use_reentrant=False)
        elif self.kind == "in halves":
            z = torch.cat([self.first(part) for part in x.chunk(2)])
        elif self.kind == "functional":
            z = torch.conv2d(x, self.first.weight, self.first.bias)
        elif self.kind == "half precision inside":
            with torch.autocast("cpu", torch.bfloat16):
                z = self.first(x)
        return self.last(torch.relu(z.float()).flatten(1))


@pytest.mark.parametrize(
    "kind",
    ["called twice", "skip", "one of two", "another scale", "checkpointed", "in halves", "functional"],
)
def test_networks_whose_gradient_is_another_one_keep_their_own(kind):
    x, y = batch()
    model = Around(kind)
    options = {"eps": EPS, "alpha": ALPHA, "steps": 3, "random_start": False}
    expected = pgd(model, x, y, **options)
    assert torch.equal(pgd(model, x, y, **options, first_layer=model.first), expected)
    for how in (PGD(model, BALL, 3, first_layer=model.first), Free(model, BALL, 2, first_layer=model.first)):
        how.accumulate(x, y)
        how.accumulate(x, y)
        assert "first_layer" in str(how.explain(x)) or "first layer" in str(how.explain(x))
        assert how.explain(x).layer is None
    with pytest.raises(RuntimeError, match=r"first[ _]layer"):
        pgd(model, x, y, **options, first_layer=model.first, in_kernel="on")


def test_half_precision_inside_the_network_is_left_to_autograd():
    x, y = batch()
    model = Around("half precision inside")
    options = {"eps": EPS, "alpha": ALPHA, "steps": 3, "random_start": False}
    expected = pgd(model, x, y, **options)
    assert torch.equal(pgd(model, x, y, **options, first_layer=model.first), expected)
    by_kernel = pgd(model, x, y, **options, first_layer=model.first, in_kernel="on")
    assert 0 < (by_kernel != expected).float().mean() < 0.1


@pytest.mark.parametrize(
    ("reason", "x", "norm", "environment"),
    [
        ("norm is l2", torch.zeros(32, 3, 16, 16), "l2", {}),
        ("multiply-adds", torch.zeros(1, 3, 16, 16), "linf", {}),
        ("4 channels", torch.zeros(64, 4, 16, 16), "linf", {}),
        ("not on cpu", torch.zeros(32, 3, 16, 16, dtype=torch.float64), "linf", {}),
        ("not on cpu", torch.zeros(32, 3, 16, 16), "linf", {"YOPO_EXT_BACKEND": "torch"}),
    ],
)
def test_what_is_not_known_to_be_faster_is_left_to_autograd(reason, x, norm, environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    step = GradientStep(nn.Conv2d(x.shape[1], 8, 3).to(x.dtype))
    assert not step.takes(Ball(EPS, ALPHA, norm=norm).feasible_set(x))
    assert reason in str(step.explain(x, norm))


def test_the_decision_follows_the_images_and_the_modules():
    x, _ = batch()
    conv = nn.Conv2d(3, 8, 3)
    step = GradientStep(conv)
    assert step.takes(BALL.feasible_set(x))
    assert not step.takes(BALL.feasible_set(x[:1]))
    assert step.takes(BALL.feasible_set(x))
    handle = conv.register_forward_hook(lambda module, args, output: 2 * output)
    assert not step.takes(BALL.feasible_set(x))
    handle.remove()
    assert step.takes(BALL.feasible_set(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert not step.takes(BALL.feasible_set(x))


@pytest.mark.parametrize("first_layer", [None, (), nn.Linear(3, 3), nn.Conv2d(3, 6, 3, groups=3)])
def test_without_a_first_convolution(first_layer):
    assert not GradientStep(first_layer).takes(BALL.feasible_set(batch()[0]))
    assert GradientStep(first_layer).explain().reason
    with pytest.raises(ValueError, match=r"^in_kernel: got 'on', expected 'auto' or 'off' here: "):
        GradientStep(first_layer, "on")
    with pytest.raises(ValueError, match=r"^in_kernel: got 'yes', expected one of 'auto', 'on', 'off'$"):
        GradientStep(first_layer, "yes")


def test_on_takes_l2_autocast_and_a_single_step():
    model, first_layer = net()
    model.eval()
    x, y = batch()
    for options, context in (({"norm": "l2"}, torch.autocast("cpu", enabled=False)), ({}, torch.autocast("cpu"))):
        with context:
            found = [
                pgd(model, x, y, eps=0.1, alpha=0.05, steps=1, random_start=False, first_layer=first_layer,
                    in_kernel=how, **options)
                for how in ("off", "on")
            ]  # fmt: skip
        assert not torch.equal(*found)
        off, on = (one.flatten(1) for one in found)
        assert torch.cosine_similarity(off, on).min() > 0.97


def test_a_gradient_of_zero_is_checked_later():
    model, first_layer = net()
    model.eval()
    with torch.no_grad():
        last = model[-1].weight.clone()
        model[-1].weight.zero_()
    adversary = PGD(model, BALL, 2, random_start=False, first_layer=first_layer)
    adversary.accumulate(*batch())
    assert not adversary.eta.any()
    assert adversary.explain(batch()[0]).layer.input_gradient_error is None
    with torch.no_grad():
        model[-1].weight.copy_(last)
    adversary.accumulate(*batch())
    assert adversary.explain(batch()[0]).layer.input_gradient_error < 1e-4


def test_a_compiled_network_gives_what_it_gave():
    model, first_layer = net()
    model.eval()
    x, y = batch()
    compiled = torch.compile(model, backend="eager")
    options = {"eps": EPS, "alpha": ALPHA, "steps": 2, "random_start": False}
    found = pgd(compiled, x, y, **options, first_layer=first_layer)
    assert (found != pgd(model, x, y, **options)).float().mean() < 1e-3


def test_an_attack_for_measuring_asks_the_network_for_its_first_layer(monkeypatch):
    calls = kernel_calls(monkeypatch)
    torch.manual_seed(0)
    model = SmallCNN().eval()
    nn.init.normal_(model.classifier[-1].weight, std=0.05)
    images = ImageBatch(torch.rand(16, 1, 28, 28), torch.arange(16) % 10, 10, as_objective(loss))
    found = [PGDAttack(0.1, steps=3, in_kernel=how).craft(model, images) for how in ("off", "auto")]
    assert calls == [1, 1, 1]
    assert (found[0] != found[1]).float().mean() < 1e-3
    other = nn.Sequential(model)
    other.first_layer = "of another kind"
    assert torch.equal(PGDAttack(0.1, steps=3).craft(other, images), found[0])


@pytest.mark.parametrize("method", ["pgd-2", "fast", "n-fgsm", "free-2", "trades-2"])
def test_the_setting_reaches_every_method_that_has_such_steps(method):
    config = make_config(method=method, attack_in_kernel="off")
    assert config.speed.attack_in_kernel == "off"
    model, first_layer = net()
    for how, reason in (("off", "switched off"), ("auto", "")):
        given = Ingredients(
            model, first_layer, BALL, as_objective(loss), config.method.options, seeded(), in_kernel=how
        )
        assert reason in METHODS[config.method.name].build(given).explain().reason


@pytest.mark.parametrize("looks", ["start", "consistency"])
def test_a_step_that_somebody_looks_at_is_autograd_s(looks, monkeypatch):
    """The start's gradient is one at the images, and the consistency's graph goes on to the first layer's weights."""
    calls, found = kernel_calls(monkeypatch), []
    for how in ("off", "auto"):
        model, first_layer = net()
        given = {"start": Momentum(32, (3, 16, 16))} if looks == "start" else {"consistency": Consistency(2.0)}
        adversary = FGSM(model, BALL, generator=seeded(), first_layer=first_layer, in_kernel=how, **given)
        torch.manual_seed(3)
        for seed in (1, 2):
            x, y = batch(seed=seed)
            adversary.see(Batch(x, y, torch.arange(len(x))))
            adversary.accumulate(x, y)
        found.append((adversary.eta, *(one.grad for one in model.parameters())))
    assert calls == []
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
