# SPDX-License-Identifier: MIT
"""YOPO climbs the loss through its first layer alone: where that is not the loss's own gradient, the first batch says
so, and has touched nothing."""

from functools import partial

import pytest
import torch
from passes import require_untouched, untouched
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import YOPO, Ball, FirstLayer
from yopo_ext.adversaries import TRADESYOPO, YOPOAttack
from yopo_ext.adversaries.first_pass import gradients_held_back
from yopo_ext.input_gradient import input_gradient_error
from yopo_ext.models import Normalize

X = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def plain(model, first_layer, first_layer_grad="hamiltonian", **options):
    return YOPO(model, first_layer, 2, 2, 0.05, 0.02, first_layer_grad=first_layer_grad, **options)


def crafted(model, first_layer, bn_mode="eval", norm="linf", **options):
    return TRADESYOPO(model, first_layer, Ball(0.05, 0.02, norm=norm), 2, 2, bn_mode=bn_mode, **options)


def attacked(model, first_layer, norm="linf", **options):
    return YOPOAttack(model, first_layer, Ball(0.05, 0.02, norm=norm), 2, 2, **options)


METHODS = {
    **{name: partial(plain, first_layer_grad=name) for name in ("hamiltonian", "backprop", "both")},
    "trades-yopo": crafted,
    "trades-yopo, train": partial(crafted, bn_mode="train"),
    "yopo-attack": attacked,
}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


class Net(nn.Module):
    """A stem of some layers, and what follows."""

    def __init__(self, *stem, width=4):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.ModuleList(stem) or nn.ModuleList([nn.Conv2d(2, width, 3, padding=1), nn.ReLU()])
        for module in self.stem.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        self.tail = nn.Sequential(
            nn.Conv2d(width, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        )

    @property
    def first_layer(self):
        return tuple(self.stem)

    def features(self, x):
        for module in self.stem:
            x = module(x)
        return x

    def forward(self, x):
        return self.tail(self.features(x))


class Skip(Net):
    def __init__(self):
        super().__init__()
        self.skip = nn.Conv2d(2, 4, 1)

    def forward(self, x):
        return self.tail(self.features(x) + 5 * self.skip(x))


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList([Net(), Net(), Net()])
        self.first_layer = self.members[0].first_layer
        for seed, member in enumerate(self.members):
            torch.manual_seed(seed)
            member.stem[0].reset_parameters()

    def forward(self, x):
        return sum(member(x) for member in self.members) / 3


class Multiplies(nn.Module):
    """Has mean and std, and does something else with them."""

    mean, std = 0.5, 0.25

    def forward(self, x):
        return (x - self.mean) * self.std


class Shuffles(nn.BatchNorm2d):
    """Does more with its batch than to normalise."""

    def forward(self, z):
        return super().forward(z).flip(1) if self.training else super().forward(z)


class Outside(Net):
    """Normalises before the first layer."""

    def forward(self, x):
        return super().forward((x - 0.5) / 0.25)


class Shifts(Net):
    """Subtracts a mean before the first layer, which no gradient with respect to the images shows."""

    def forward(self, x):
        return super().forward(x - 0.5)


class Detaches(Net):
    def forward(self, x):
        return super().forward(x.detach() * 1.0)


class Between(Net):
    """Calls something between the modules of its first layer."""

    def features(self, x):
        return nn.functional.interpolate(self.stem[1](nn.functional.max_pool2d(self.stem[0](x), 2)), size=8)


WRONG = {
    "a skip from the input": Skip,
    "one member of an ensemble": Ensemble,
    "mean and std of another kind": lambda: Net(Multiplies(), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()),
    "mean and std of another kind, batch norm": lambda: Net(
        Multiplies(), nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
    ),
    "normalisation outside": Outside,
    "no gradient at the input": Detaches,
    "dropout inside": lambda: Net(nn.Conv2d(2, 4, 3, padding=1), nn.Dropout(0.5)),
}


@EVERY_METHOD
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("fault", WRONG)
def test_a_network_that_the_first_layer_does_not_speak_for_is_refused(fault, amp, method):
    if fault == "dropout inside" and method == "trades-yopo":
        pytest.skip("crafts in eval mode, without dropout")
    model = WRONG[fault]()
    before = untouched(model)
    adversary = METHODS[method](model, model.first_layer)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp), pytest.raises(RuntimeError) as raised:
        adversary.accumulate(X, Y)
    for words in ("relative error", "skip connection", "ensemble", "normalisation", "mean and std"):
        assert words in str(raised.value)
    require_untouched(model, before)
    assert adversary.first_layer.input_gradient_error > 0.3
    assert "the network's input gradient: relative error" in str(adversary.first_layer.explain())


@EVERY_METHOD
@pytest.mark.parametrize("amp", [False, True])
def test_a_shift_before_a_linear_first_layer_is_refused(amp, method):
    model = Shifts(nn.Conv2d(2, 4, 3, padding=1))
    before = untouched(model)
    adversary = METHODS[method](model, model.first_layer)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp), pytest.raises(RuntimeError) as raised:
        adversary.accumulate(X, Y)
    assert "first_layer (Conv2d) receives other values than the images: relative error 0." in str(raised.value)
    require_untouched(model, before)


@pytest.mark.parametrize("amp", [False, True])
def test_a_batch_norm_that_cannot_be_held_is_refused(amp):
    model = Net(nn.Conv2d(2, 4, 3, padding=1), Shuffles(4), nn.ReLU())
    before = untouched(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        with pytest.raises(RuntimeError, match=r'cannot be held at the statistics of the pass.*bn_statistics="batch"'):
            YOPO(model, model.first_layer).accumulate(X, Y)
        require_untouched(model, before)
        YOPO(model, model.first_layer, bn_statistics="batch").accumulate(X, Y)


@EVERY_METHOD
def test_something_between_the_modules_of_the_first_layer(method):
    model = Between()
    before = untouched(model)
    with pytest.raises(RuntimeError, match=r"first_layer \(Conv2d, ReLU\): p: got shape.*in between"):
        METHODS[method](model, model.first_layer).accumulate(X, Y)
    require_untouched(model, before)


STEMS = {
    "linear": lambda: Net(nn.Conv2d(2, 4, 3, padding=1)),
    "relu": Net,
    "in place": lambda: Net(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True)),
    "batch norm": lambda: Net(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
    "normalised": lambda: Net(Normalize([0.4, 0.5], [0.2, 0.3]), nn.Conv2d(2, 4, 3, padding=1), nn.ELU()),
    "groups": lambda: Net(nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.Tanh()),
}


@EVERY_METHOD
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("state", ["train", "eval", "frozen", "channels last", "l2"])
@pytest.mark.parametrize("stem", STEMS)
def test_a_right_first_layer_passes(stem, state, amp, method):
    model, x = STEMS[stem](), X
    if state == "eval":
        model.eval()
    elif state == "frozen":
        model.stem.requires_grad_(False)
    elif state == "channels last":
        model, x = model.to(memory_format=torch.channels_last), X.contiguous(memory_format=torch.channels_last)
    adversary = METHODS[method](model, model.first_layer, norm="l2" if state == "l2" else "linf")
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        adversary.accumulate(x, Y)
    assert adversary.first_layer.input_gradient_error < (0.02 if amp else 2e-6)
    crafting = getattr(adversary, "_crafting", None)
    assert adversary._checked if crafting is None else crafting.checked
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


@pytest.fixture
def compiler():
    """Forgets what was compiled: each code object may be compiled a few times only."""
    torch.compiler.reset()
    yield torch._dynamo.lookup_backend("aot_eager")
    torch.compiler.reset()


@EVERY_METHOD
@pytest.mark.parametrize("amp", [False, True])
def test_a_compiled_tail_passes_and_its_skip_is_found(amp, method, compiler):
    """Compiled regions give one backward pass only."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return compiler(graph, inputs)

    right, wrong = STEMS["batch norm"](), Skip()
    for model in (right, wrong):
        model.tail = torch.compile(model.tail, backend=backend)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        METHODS[method](right, right.first_layer).accumulate(X, Y)
        assert all(parameter.grad is not None for parameter in right.parameters())
        before = untouched(wrong)
        with pytest.raises(RuntimeError, match="skip connection"):
            METHODS[method](wrong, wrong.first_layer).accumulate(X, Y)
    require_untouched(wrong, before)
    assert compiled


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("method", ["hamiltonian", "backprop", "both"])
def test_the_check_changes_no_gradient(stem, method):
    """The pass of the check is the real one: bit for bit the gradients and statistics of a pass without it."""
    found = []
    for checked in (True, False):
        model = STEMS[stem]()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.1)
        places = [parameter.grad.data_ptr() for parameter in model.parameters()]
        yopo = METHODS[method](model, model.first_layer, generator=torch.Generator().manual_seed(3))
        yopo._cuts, yopo._checked = yopo._prepare(X), not checked
        torch.manual_seed(5)
        yopo.accumulate(X, Y)
        assert [parameter.grad.data_ptr() for parameter in model.parameters()] == places
        found.append([p.grad for p in model.parameters()] + list(model.buffers()) + [yopo.eta])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_gradient_of_zero_is_checked_later():
    """A head that starts at 0 says nothing about the first layer until it has moved."""
    model = Skip()
    nn.init.zeros_(model.tail[-1].weight)
    yopo = YOPO(model, model.first_layer, 2, 2, 0.05, 0.02)
    yopo.accumulate(X, Y)
    assert yopo.first_layer.input_gradient_error is None
    nn.init.normal_(model.tail[-1].weight)
    model.zero_grad()
    with pytest.raises(RuntimeError, match="skip connection"):
        yopo.accumulate(X, Y)
    assert all(parameter.grad is None for parameter in model.parameters())


@EVERY_METHOD
def test_a_loss_that_is_not_finite_is_not_the_first_layers_fault(method):
    model = Net()
    nn.init.constant_(model.tail[-1].weight, float("nan"))
    adversary = METHODS[method](model, model.first_layer)
    assert adversary.accumulate(X, Y)["loss"].isnan()


@EVERY_METHOD
def test_part_of_the_batch_names_data_parallel(method):
    model = Net()
    model.features, features = lambda x: torch.cat([features(x[:2])] * 3), model.features
    before = untouched(model)
    with pytest.raises(RuntimeError, match=r"sees 2 of 6 images.*nn[.]DataParallel.*DistributedDataParallel"):
        METHODS[method](model, model.first_layer).accumulate(X, Y)
    require_untouched(model, before)


@EVERY_METHOD
def test_a_replica_after_the_other_names_data_parallel(method):
    class Replicas(Net):
        def forward(self, x):
            return torch.cat([super(Replicas, self).forward(part) for part in x.split(3)])

    model = Replicas()
    with pytest.raises(RuntimeError, match="DataParallel"):
        METHODS[method](model, model.first_layer).accumulate(X, Y)


@EVERY_METHOD
def test_another_size_of_image_is_named(method):
    model = Net()
    model.features, features = (
        lambda x: features(nn.functional.interpolate(x, size=4)).repeat(1, 1, 2, 2),
        model.features,
    )
    with pytest.raises(RuntimeError, match=r"receives shape \(6, 2, 4, 4\) for images of shape \(6, 2, 8, 8\)"):
        METHODS[method](model, model.first_layer).accumulate(X, Y)


def test_something_learnable_before_the_first_layer_is_refused_in_the_first_pass():
    model = Net()
    shift = nn.Parameter(torch.zeros(1, 2, 1, 1))
    model.features, features = lambda x: features(x + shift), model.features
    before = untouched(model)
    with pytest.raises(RuntimeError, match="requires grad, and the cut would lose"):
        YOPO(model, model.first_layer).accumulate(X, Y)
    require_untouched(model, before)
    assert shift.grad is None


def test_an_error_in_the_first_layer_leaves_its_parameters_trainable():
    model = Net()
    model.stem[0].register_forward_hook(lambda *_: 1 / 0)
    before = untouched(model)
    with pytest.raises(ZeroDivisionError):
        YOPO(model, model.first_layer).accumulate(X, Y)
    assert all(parameter.requires_grad for parameter in before)


def test_parameters_of_the_loss_are_left_alone_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits, y):
            return cross_entropy(self.scale * logits, y)

    loss, model = Scaled(), Skip()
    with pytest.raises(RuntimeError, match="skip"):
        YOPO(model, model.first_layer, loss=loss).accumulate(X, Y)
    assert loss.scale.grad is None


def test_held_back_gradients_are_added_to_what_is_there():
    layer = nn.Linear(2, 1)
    layer.weight.grad = kept = torch.ones_like(layer.weight)
    with gradients_held_back(layer, None):
        layer(torch.tensor([[2.0, 3.0]])).sum().backward()
        assert layer.weight.grad is not kept
    assert layer.weight.grad is kept
    assert kept.tolist() == [[3.0, 4.0]]
    assert layer.bias.grad.tolist() == [1.0]


def test_the_error_itself():
    """Right, and with a part of the gradient that does not pass the first layer."""
    layer = FirstLayer((nn.Conv2d(2, 4, 3), nn.ReLU()))
    p = torch.randn(6, 4, 6, 6)
    leaf = X.clone().requires_grad_()
    own = torch.autograd.grad((p * layer.modules[1](layer.modules[0](leaf))).sum(), leaf)[0]
    assert input_gradient_error(layer, X, p, own) < 1e-6
    with torch.no_grad():
        assert input_gradient_error(layer, X, p, 2 * own) == pytest.approx(0.5, abs=1e-5)
    assert input_gradient_error(layer, X, p, None) == pytest.approx(1.0)
    assert input_gradient_error(layer, X, 0 * p, own) == pytest.approx(1.0)
    assert input_gradient_error(layer, X, 0 * p, 0 * own) is None
    assert input_gradient_error(layer, X, p * float("nan"), own) is None
    assert input_gradient_error(layer, X, p * 1e-30, own * 1e-30) < 1e-6
    with pytest.raises(ValueError, match="p: got shape"):
        input_gradient_error(layer, X, p[:, :, 1:], own)
