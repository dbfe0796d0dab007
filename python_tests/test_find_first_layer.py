# SPDX-License-Identifier: MIT
"""`find_first_layer` on networks made for it: what it finds is right by YOPO's own check, and nothing is touched."""

import copy

import pytest
import torch
import torch.nn.functional as F
from passes import require_untouched, untouched
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import YOPO, FirstLayer, find_first_layer
from yopo_ext.models import MODELS, Normalize, build_model

X = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def conv(**options):
    return nn.Conv2d(2, 4, 3, padding=1, **options)


def tail(channels=4, side=8):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (side - 2) ** 2, 3))


class Net(nn.Module):
    """Stem modules by name, and forward(self, x)."""

    def __init__(self, forward, *, rest=None, **stem):
        super().__init__()
        for name, module in stem.items():
            self.add_module(name, module)
        self.rest = rest or tail()
        self.compute = forward

    def forward(self, x):
        return self.rest(self.compute(self, x))


def stack(*modules, **options):
    return nn.Sequential(*modules, tail(**options))


class Embedding(nn.Module):
    """A ViT's: patches as a sequence."""

    def __init__(self):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(2, 4, 4, stride=4), nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.proj(x).flatten(2).transpose(1, 2))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed, self.head = Embedding(), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.patch_embed(x).relu().flatten(1))


class Wrapper(nn.Module):
    """As DataParallel on one device."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **options):
        return self.module(*args, **options)


class Pair(nn.Module):
    """Returns a tuple."""

    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        return self.conv(x), x.mean()


class NormAct(nn.BatchNorm2d):
    """Batch norm and activation in one module."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(super().forward(x))


def blocks():
    nested = nn.Sequential(
        nn.Sequential(Normalize([0.4] * 2, [0.3] * 2)), nn.Sequential(conv(), nn.Sequential(nn.GELU()))
    )
    return stack(nn.Sequential(nested, nn.MaxPool2d(1)))


def residual(self, x):
    x = self.conv(x)
    return x + self.block(x)


def shifted_in_place(self, x):
    x.sub_(0.5)
    return self.relu(self.conv(x))


#: name: (network, names, linear, by kernels, part of `end`)
FOUND = {
    "conv, relu": (lambda: stack(conv(), nn.ReLU()), "0,1", False, True, "2.0 (Conv2d) follows the activation"),
    "bare convolution": (lambda: stack(conv()), "0", True, True, "1.0 (Conv2d) is no batch norm and no activation"),
    "in-place ReLU": (lambda: stack(conv(), nn.ReLU(inplace=True)), "0,1", False, True, "follows the activation"),
    "normalise": (
        lambda: stack(Normalize([0.4, 0.5], [0.2, 0.3]), conv(), nn.SiLU()), "0,1,2", False, True, "follows",
    ),
    "nested Sequential": (blocks, "0.0.0.0,0.0.1.0,0.0.1.1.0", False, True, "0.1 (MaxPool2d) follows the activation"),
    "batch norm in training": (
        lambda: stack(conv(), nn.BatchNorm2d(4), nn.ReLU()), "0,1,2", False, None, "follows the activation",
    ),
    "batch norm in evaluation": (
        lambda: stack(conv(), nn.BatchNorm2d(4), nn.ReLU()).eval(), "0,1,2", False, True, "follows the activation",
    ),
    "batch norm alone": (lambda: stack(conv(), nn.BatchNorm2d(4)).eval(), "0,1", True, True, "no activation"),
    "norm and activation in one": (
        lambda: stack(conv(), NormAct(4)), "0", True, True, "the kernels do not take 1 (NormAct)",
    ),
    "pre-activation block": (
        lambda: Net(residual, conv=conv(), block=nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))),
        "conv", True, True, "not only block.0 (BatchNorm2d) reads the output of conv",
    ),
    "functional activation": (
        lambda: Net(lambda self, x: F.relu(self.conv(x)), conv=conv()), "conv", True, True,
        "the output of conv (Conv2d) goes into an activation called as a function (ReluBackward0)",
    ),
    "functional in-place activation after batch norm": (
        lambda: Net(lambda self, x: F.relu(self.bn(self.conv(x)), inplace=True), conv=conv(), bn=nn.BatchNorm2d(4)),
        "conv,bn", True, None, "the output of bn (BatchNorm2d) goes into an activation called as a function",
    ),
    "activation used twice": (
        lambda: Net(lambda self, x: self.relu(self.more(self.relu(self.conv(x)))), conv=conv(), relu=nn.ReLU(),
                    more=nn.Conv2d(4, 4, 1)),
        "conv", True, True, "relu (ReLU) is called 2 times",
    ),
    "unknown activation": (lambda: stack(conv(), nn.Hardswish()), "0", True, True, "1 (Hardswish) is no batch norm"),
    "patch embedding": (Vit, "patch_embed.proj", True, True, "goes into no module"),
    "channels-last inside": (
        lambda: Net(lambda self, x: self.act(self.conv(x.contiguous(memory_format=torch.channels_last))),
                    conv=conv(), act=nn.ReLU()),
        "conv,act", False, True, "follows",
    ),
    "groups": (lambda: stack(conv(groups=2), nn.ReLU()), "0,1", False, False, "follows the activation"),
    "groups, bare": (lambda: stack(conv(groups=2)), "0", True, False, "no activation"),
    "scaled by a module": (
        lambda: stack(nn.Upsample(scale_factor=2), conv(), nn.ReLU(), side=16), "0,1,2", False, False, "follows",
    ),
    "identities": (
        lambda: stack(nn.Identity(), nn.Dropout(0.5).eval(), conv(), nn.Identity(), nn.ReLU()), "2,4", False, True,
        "follows",
    ),
    "wrapped": (lambda: Wrapper(stack(conv(), nn.ReLU())), "module.0,module.1", False, True, "follows"),
    "DataParallel": (
        lambda: nn.DataParallel(stack(conv(), nn.ReLU())), "module.0,module.1", False, True, "follows",
    ),
    "linear layers": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 3)), "0,1,2", False, False,
        "3 (Linear) follows the activation",
    ),
    "images shifted in place": (
        lambda: Net(shifted_in_place, conv=conv(), relu=nn.ReLU()), ValueError, None, None,
        "no module is called on the images: the network computes something of them first (SubBackward0)",
    ),
    "functional normalisation": (
        lambda: Net(lambda self, x: self.conv((x - 0.5) / 0.25), conv=conv()), ValueError, None, None,
        "no module is called on the images: the network computes something of them first (SubBackward0); as a module",
    ),
    "skip from the images": (
        lambda: Net(lambda self, x: F.pad(x, (0, 0, 0, 0, 0, 2)) + self.act(self.conv(x)), conv=conv(), act=nn.ReLU()),
        ValueError, None, None, r"the adjoint of none is the network's input gradient (conv,act: relative error",
    ),
    "skip by a module": (
        lambda: Net(lambda self, x: self.act(self.conv(x)) + self.skip(x), conv=conv(), act=nn.ReLU(),
                    skip=nn.Conv2d(2, 4, 1)),
        ValueError, None, None, "conv (Conv2d) and skip (Conv2d) are called on the images; what all of it enters",
    ),
    "ensemble": (
        lambda: Net(lambda self, x: self.one(x) + self.two(x), rest=nn.Identity(), one=stack(conv()),
                    two=stack(conv())),
        ValueError, None, None, "one (Sequential) and two (Sequential) are called on the images",
    ),
    "shared convolution": (
        lambda: Net(lambda self, x: self.conv(x) + self.conv(x.flip(3)), conv=conv()), ValueError, None, None,
        "conv (Conv2d) is called 2 times; here it would need a module of its own",
    ),
    "tuple": (
        lambda: Net(lambda self, x: F.relu(self.pair(x)[0]), pair=Pair()), "pair.conv", True, True,
        "goes into an activation called as a function",
    ),
}  # fmt: skip
RAISE = {name: entry for name, entry in FOUND.items() if entry[1] is ValueError}


def made(name):
    torch.manual_seed(0)
    return FOUND[name][0]()


def state_of(model):
    return [tensor.clone() for tensor in model.state_dict().values()], [one.training for one in model.modules()]


@pytest.mark.parametrize("name", sorted(FOUND.keys() - RAISE.keys()))
def test_what_is_found(name):
    model = made(name)
    _, names, linear, kernel, end = FOUND[name]
    found = find_first_layer(model, X)
    assert ",".join(found.names) == names
    assert found.modules == tuple(map(model.get_submodule, found.names))
    assert found.linear == linear
    assert kernel in (None, found.kernel)
    assert found.kernel == (FirstLayer(found.modules).explain().path == "operator") == (not found.reason)
    assert end in found.end
    assert found.error < 1e-5


@pytest.mark.parametrize("name", sorted(FOUND.keys() - RAISE.keys() - {"linear layers"}))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_yopo_takes_what_is_found(name, layout):
    """Its first batch compares the input gradient itself, with another loss and other images."""
    model, x = made(name), X.contiguous(memory_format=layout)
    found = find_first_layer(model, x)
    net = model.module if isinstance(model, nn.DataParallel) else model
    yopo = YOPO(net, found.modules, 2, 2, 0.05, 0.02, generator=torch.Generator().manual_seed(1))
    yopo.accumulate(x.flip(0), Y)
    assert yopo.first_layer.input_gradient_error < 1e-5


@pytest.mark.parametrize("name", sorted(FOUND))
def test_nothing_is_touched(name):
    model = made(name)
    model.add_module("noisy", nn.Dropout(0.5))
    before, random = untouched(model), torch.get_rng_state()
    tensors, modes = state_of(model)
    x = X.clone().requires_grad_()
    try:
        find_first_layer(model, x)
    except ValueError:
        assert name in RAISE
    after, modes_after = state_of(model)
    assert all(torch.equal(one, other) for one, other in zip(tensors, after, strict=True))
    assert modes == modes_after
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, X)
    assert x.grad is None
    require_untouched(model, before)


@pytest.mark.parametrize("name", sorted(RAISE))
def test_where_there_is_none_it_says_what_the_network_does(name):
    with pytest.raises(ValueError, match=r"^model: got one without a first layer: ") as raised:
        find_first_layer(made(name), X)
    assert FOUND[name][4] in str(raised.value)


@pytest.mark.parametrize("zero", ["all of the last layer", "the first one's weight"])
def test_a_layer_that_starts_at_zero_hides_nothing(zero):
    def zeroed(model, last):
        nn.init.zeros_((last if zero.startswith("all") else model.conv).weight)
        return model

    right = Net(lambda self, x: self.act(self.conv(x)), conv=conv(), act=nn.ReLU())
    assert find_first_layer(zeroed(right, right.rest[-1]), X).names == ("conv", "act")
    wrong = Net(lambda self, x: self.act(self.conv(x)) + x.sum(1, keepdim=True), conv=conv(), act=nn.ReLU())
    with pytest.raises(ValueError, match="reach the outputs past it"):
        find_first_layer(zeroed(wrong, wrong.rest[-1]), X)


def test_a_random_draw_before_the_layer_is_no_first_layer():
    with pytest.raises(ValueError, match="the adjoint of none"):
        find_first_layer(stack(nn.Dropout(0.5), conv()), X)


def test_our_own_networks_first_layers_begin_what_is_found():
    for name in ("digits-cnn", "smallcnn", "resnet18", "resnet18-relu", "preactresnet18", "wrn-28-10-relu"):
        network = MODELS[name]
        side, channels = network.image_size or 8, 1 if network.image_size else 3
        options = {"depth": 10, "widen_factor": 1} if name.startswith("wrn") else {}
        model = network.build(channels, 10, mean=[0.5] * channels, std=[0.2] * channels, **options)
        found = find_first_layer(model, torch.rand(4, channels, side, side))
        own = model.first_layer
        assert found.modules[: len(own)] == own, name
        assert found.linear == ("relu" not in name and name[:3] in ("pre", "wrn"))


def test_inference_mode_double_precision_and_dicts():
    model = build_model("digits-cnn", in_channels=1, num_classes=3).double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    with torch.inference_mode():
        assert find_first_layer(model, x).error < 1e-12

    class Outputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            return {"logits": (self.net(x), None), "count": torch.tensor(3)}

    assert find_first_layer(Outputs(), x).names == ("net.features.conv1", "net.features.relu1")


def test_a_parameter_that_is_frozen_and_one_that_is_computed():
    model = stack(nn.utils.parametrizations.weight_norm(conv()), nn.ReLU()).requires_grad_(False)
    assert find_first_layer(model, X).names == ("0", "1")
    spectral = stack(nn.utils.parametrizations.spectral_norm(conv()), nn.ReLU())
    before = copy.deepcopy(spectral.state_dict())
    assert find_first_layer(spectral, X).error < 0.02
    assert all(torch.equal(value, before[key]) for key, value in spectral.state_dict().items())


def test_it_is_printed():
    text = str(find_first_layer(stack(conv(groups=2), nn.ReLU()), X))
    assert text.splitlines()[:3] == [
        "first layer: 0,1 (Conv2d, ReLU)",
        "nonlinear: each of the n steps has a slope of its own",
        "runs through autograd, slower: the convolution has groups=2",
    ]
    assert "linear: n steps walk where one of n alpha walks\nruns through the kernels" in str(
        find_first_layer(stack(conv()), X)
    )


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"^x: got a tensor of torch.uint8, expected floating point images"):
        find_first_layer(stack(conv()), (255 * X).to(torch.uint8))
    with pytest.raises(ValueError, match=r"^model: got parameters that are not initialised yet"):
        find_first_layer(nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3)), X)
    with pytest.raises(ValueError, match=r"^model: its outputs hold no tensor that depends on the images"):
        find_first_layer(Net(lambda self, x: x.detach(), rest=nn.Sequential(conv()).requires_grad_(False)), X)
    frozen = Net(lambda self, x: self.conv(x) * 0, conv=conv())
    with pytest.raises(ValueError, match=r"^model: its outputs do not depend on the images"):
        find_first_layer(frozen, X)


def test_cross_entropy_is_not_needed():
    """Targets are not asked for; the same is found whatever the loss is."""
    model = stack(conv(), nn.ReLU())
    cross_entropy(model(X), Y).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    find_first_layer(model, X)
    assert all(torch.equal(one, parameter.grad) for one, parameter in zip(gradients, model.parameters(), strict=True))
