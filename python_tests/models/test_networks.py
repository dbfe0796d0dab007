# SPDX-License-Identifier: MIT

from functools import partial

import pytest
import torch
from torch import nn

import yopo_ext
from yopo_ext import activation as kernel_activations
from yopo_ext.models import (
    ACTIVATIONS,
    MODELS,
    DigitsCNN,
    MnistCNN,
    Network,
    Normalize,
    PreActResNet18,
    ResNet8,
    ResNet18,
    ResNet50,
    SmallCNN,
    WideResNet,
    build_model,
    make_activation,
)

CIFAR = (3, 32, 32)
#: input shape and, for 10 classes, number of parameters of each: the published ones, but for digits-cnn, which is ours,
#: and wrn-34-20, of which papers give millions only
NETWORKS = {
    "digits-cnn": ((1, 8, 8), 160_554),
    "smallcnn": ((1, 28, 28), 312_202),
    "mnist-cnn": ((1, 28, 28), 166_406),
    "preactresnet18": (CIFAR, 11_171_146),
    "resnet8": (CIFAR, 78_042),
    "resnet18": (CIFAR, 11_173_962),
    "resnet50": (CIFAR, 23_520_842),
    "wrn-10-1": (CIFAR, 77_850),
    "wrn-28-10": (CIFAR, 36_479_194),
    "wrn-34-10": (CIFAR, 46_160_474),
    "wrn-34-20": (CIFAR, 184_531_674),
}
NETWORKS |= {f"{name}-relu": entry for name, entry in NETWORKS.items() if entry[0] == CIFAR}


#: how a test builds each kind (the wide one in a narrow version), and the shape of its images
KINDS = {
    "digits-cnn": (DigitsCNN, (1, 8, 8)),
    "smallcnn": (SmallCNN, (1, 28, 28)),
    "preactresnet18": (PreActResNet18, (3, 8, 8)),
    "wrn": (partial(WideResNet, depth=10, widen_factor=1), (3, 16, 16)),
    "mnist-cnn": (MnistCNN, (1, 28, 28)),
    "resnet18": (ResNet18, (3, 8, 8)),
    "resnet50": (ResNet50, (3, 8, 8)),
    "resnet8-relu": (partial(ResNet8, first_activation=True), (3, 8, 8)),
    "preactresnet18-relu": (partial(PreActResNet18, first_activation=True), (3, 8, 8)),
    "resnet18-relu": (partial(ResNet18, first_activation=True), (3, 8, 8)),
    "wrn-relu": (partial(WideResNet, depth=10, widen_factor=1, first_activation=True), (3, 16, 16)),
}


def small(kind, **options):
    build, shape = KINDS[kind]
    torch.manual_seed(0)
    return build(**options), shape


def test_all_networks_are_here():
    ours = {
        one.name
        for one in MODELS
        if isinstance(one, Network) and getattr(one.build, "func", one.build).__module__.startswith("yopo_ext.")
    }
    assert set(NETWORKS) == ours


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_counts_and_state_dict(name):
    (channels, size, _), count = NETWORKS[name]
    with torch.device("meta"):
        model = build_model(name, in_channels=channels, num_classes=10, image_size=size)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_classes", [10, 4])
def test_logits(kind, num_classes):
    model, shape = small(kind, num_classes=num_classes)
    assert model.eval()(torch.rand(3, *shape)).shape == (3, num_classes)


def test_the_deep_ones_take_images_of_several_sizes():
    for model in (PreActResNet18(in_channels=1), ResNet18(in_channels=1), WideResNet(1, depth=10, widen_factor=1)):
        for size in (8, 20):
            assert model.eval()(torch.rand(1, 1, size, size)).shape == (1, 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalized", [False, True])
def test_first_layer_is_what_the_model_calls_first(kind, normalized):
    channels = KINDS[kind][1][0]
    options = {"mean": [0.3] * channels, "std": [0.2] * channels} if normalized else {}
    model, shape = small(kind, **options)
    model.train()
    called = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, args, output: called.append((module, args[0])))
    x = torch.rand(2, *shape)
    model(x)
    first = model.first_layer
    assert [module for module, _ in called[: len(first)]] == list(first)
    assert called[0][1] is x
    assert isinstance(first[0], Normalize) == normalized


def test_the_two_kinds_of_first_layer():
    for kind in KINDS:
        model, _ = small(kind)
        conv, *activation = model.first_layer
        assert isinstance(conv, nn.Conv2d)
        for_cifar = KINDS[kind][1][0] == 3
        assert [type(module) for module in activation] == [nn.ReLU] * (not for_cifar or kind.endswith("-relu"))
        assert (conv.bias is None) == for_cifar
        assert conv.padding == ((0, 0) if kind == "smallcnn" else (1, 1))
        channels = {"wrn": 16, "resnet8": 16, "mnist": 16, "digits": 32, "smallcnn": 32}
        assert conv.out_channels == channels.get(kind.split("-")[0], 64)
        assert conv.kernel_size == ((4, 4) if kind == "mnist-cnn" else (3, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_the_costate_is_the_gradient_at_the_first_layers_output(kind):
    channels = KINDS[kind][1][0]
    model, shape = small(kind, mean=[0.4] * channels, std=[0.5] * channels)
    if kind == "smallcnn":
        nn.init.normal_(model.classifier.fc3.weight)
    model.double().eval()
    x, y = torch.rand(2, *shape, dtype=torch.float64).requires_grad_(), torch.tensor([1, 2])
    with yopo_ext.capture_costate(model.first_layer) as costate:
        nn.functional.cross_entropy(model(x), y).backward()
    u = x.detach().requires_grad_()
    hamiltonian = (nn.Sequential(*model.first_layer)(u) * costate.value).sum()
    (gradient,) = torch.autograd.grad(hamiltonian, u)
    assert x.grad.abs().max() > 0
    torch.testing.assert_close(gradient, x.grad, rtol=1e-9, atol=1e-12)
    assert yopo_ext.FirstLayer(model.first_layer).explain().path != "autograd"


@pytest.mark.parametrize("kind", KINDS)
def test_normalisation_is_inside_and_adds_no_keys(kind):
    plain, shape = small(kind)
    mean, std = [0.1 * (i + 1) for i in range(shape[0])], [0.2 + 0.1 * i for i in range(shape[0])]
    inside, _ = small(kind, mean=mean, std=std)
    assert list(inside.state_dict()) == list(plain.state_dict())
    inside.load_state_dict(plain.state_dict())
    x = torch.rand(2, *shape)
    outside = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    if kind == "smallcnn":
        for model in (plain, inside):
            nn.init.ones_(model.classifier.fc3.bias)
            nn.init.eye_(model.classifier.fc3.weight)
    expected = plain.eval()(outside)
    torch.testing.assert_close(inside.eval()(x), expected)
    assert (expected - plain(x)).abs().max() > 1e-3


def test_normalisation_is_checked_and_moves_with_the_model():
    with pytest.raises(ValueError, match="one value per channel each, got 2 and 1"):
        Normalize([0.1, 0.2], [1.0])
    with pytest.raises(ValueError, match=r"std: got .*, expected values above 0"):
        Normalize([0.1], [0.0])
    with pytest.raises(ValueError, match="mean and std go together"):
        SmallCNN(mean=[0.1])
    assert SmallCNN(mean=[0.1], std=[0.3]).double().normalize.mean.dtype == torch.float64


def test_build_model_refuses():
    with pytest.raises(ValueError, match="model: got 'vgg', expected one of digits-cnn, mnist-cnn"):
        build_model("vgg", in_channels=1, num_classes=10)
    with pytest.raises(ValueError, match="'smallcnn' takes 28x28 images, these are 32x32"):
        build_model("smallcnn", in_channels=3, num_classes=10, image_size=32)
    with pytest.raises(ValueError, match=r"depth: got 11, expected 6 N \+ 4"):
        WideResNet(depth=11)


def test_build_model_passes_everything_on():
    model = build_model("digits-cnn", in_channels=2, num_classes=7, image_size=8, mean=[0.1, 0.2], std=[1, 2])
    assert model.normalize.std.tolist() == [1, 2]
    assert model(torch.rand(1, 2, 8, 8)).shape == (1, 7)


def test_the_activations_are_known_to_the_kernels():
    assert set(ACTIVATIONS) == set(kernel_activations.NAMES) - {"identity", "sigmoid"}
    for name in ACTIVATIONS:
        assert kernel_activations.parse_activation(make_activation(name)) == kernel_activations.NAMES[name]


def uses(model, x):
    """The modules without children, in the order of the forward pass."""
    called = []
    hooks = [
        module.register_forward_hook(lambda module, args, output: called.append(module))
        for module in model.modules()
        if not list(module.children())
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return called


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["silu", "tanh"])
def test_another_activation_is_used_throughout_each_by_its_own_module(kind, name):
    plain, shape = small(kind)
    other, _ = small(kind, activation=name)
    x = torch.rand(2, *shape)
    called = [uses(model.eval(), x) for model in (plain, other)]
    assert len(set(called[1])) == len(called[1])
    expected = [ACTIVATIONS[name] if type(module) is nn.ReLU else type(module) for module in called[0]]
    assert [type(module) for module in called[1]] == expected
    assert nn.ReLU in [type(module) for module in called[0]]
    assert list(other.state_dict()) == list(plain.state_dict())
    assert all(type(module) is ACTIVATIONS[name] for module in other.first_layer[1:])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_trains(name):
    model, shape = small("preactresnet18-relu", activation=name)
    model(torch.rand(2, *shape)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert model.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["preactresnet18", "resnet18", "wrn"])
def test_an_activation_after_the_first_convolution_adds_no_keys_and_changes_the_network(kind):
    plain, shape = small(kind)
    relu, _ = small(f"{kind}-relu")
    relu.load_state_dict(plain.state_dict())
    x = torch.rand(2, *shape)
    head = nn.Sequential(*relu.first_layer)(x)
    assert head.min() == 0
    assert plain.conv1(x).min() < 0
    assert not torch.allclose(relu(x), plain(x))
    assert yopo_ext.FirstLayer(relu.first_layer).explain().path == "operator"


def test_an_unknown_activation():
    with pytest.raises(ValueError, match="activation: got 'swish', expected one of relu, leaky_relu"):
        build_model("resnet18", in_channels=3, num_classes=10, activation="swish")
