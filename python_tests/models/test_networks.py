# SPDX-License-Identifier: MIT

from functools import partial

import pytest
import torch
from torch import nn

import yopo_ext
from yopo_ext.models import MODELS, DigitsCNN, Normalize, PreActResNet18, SmallCNN, WideResNet, build_model

#: input shape and, for 10 classes, number of parameters of each
NETWORKS = {
    "digits-cnn": ((1, 8, 8), 160_554),
    "smallcnn": ((1, 28, 28), 312_202),
    "preactresnet18": ((3, 32, 32), 11_171_146),
    "wrn-34-10": ((3, 32, 32), 46_160_474),
}


#: how a test builds each kind (the wide one in a narrow version), and the shape of its images
KINDS = {
    "digits-cnn": (DigitsCNN, (1, 8, 8)),
    "smallcnn": (SmallCNN, (1, 28, 28)),
    "preactresnet18": (PreActResNet18, (3, 8, 8)),
    "wrn": (partial(WideResNet, depth=10, widen_factor=1), (3, 16, 16)),
}


def small(kind, **options):
    build, shape = KINDS[kind]
    torch.manual_seed(0)
    return build(**options), shape


def test_all_networks_are_here():
    assert set(NETWORKS) == set(MODELS)


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
    for model in (PreActResNet18(in_channels=1), WideResNet(1, depth=10, widen_factor=1)):
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
        nonlinear = kind in ("digits-cnn", "smallcnn")
        assert [type(module) for module in activation] == [nn.ReLU] * nonlinear
        assert (conv.bias is not None) == nonlinear
        assert conv.padding == ((0, 0) if kind == "smallcnn" else (1, 1))
        assert conv.out_channels == {"preactresnet18": 64, "wrn": 16}.get(kind, 32)
        assert conv.kernel_size == (3, 3)


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
    with pytest.raises(ValueError, match="std must be positive"):
        Normalize([0.1], [0.0])
    with pytest.raises(ValueError, match="mean and std go together"):
        SmallCNN(mean=[0.1])
    assert SmallCNN(mean=[0.1], std=[0.3]).double().normalize.mean.dtype == torch.float64


def test_build_model_refuses():
    with pytest.raises(ValueError, match="unknown model 'vgg'; known: digits-cnn, smallcnn"):
        build_model("vgg", in_channels=1, num_classes=10)
    with pytest.raises(ValueError, match="'smallcnn' takes 28x28 images, these are 32x32"):
        build_model("smallcnn", in_channels=3, num_classes=10, image_size=32)
    with pytest.raises(ValueError, match=r"6 N \+ 4 .* got 11"):
        WideResNet(depth=11)


def test_build_model_passes_everything_on():
    model = build_model("digits-cnn", in_channels=2, num_classes=7, image_size=8, mean=[0.1, 0.2], std=[1, 2])
    assert model.normalize.std.tolist() == [1, 2]
    assert model(torch.rand(1, 2, 8, 8)).shape == (1, 7)
