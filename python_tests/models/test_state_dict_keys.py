# SPDX-License-Identifier: MIT
"""The keys and shapes of published checkpoints."""

import torch

from yopo_ext.models import MnistCNN, PreActResNet18, ResNet18, ResNet50, SmallCNN, WideResNet

SMALL_CNN = {
    "feature_extractor.conv1.weight": (32, 1, 3, 3),
    "feature_extractor.conv1.bias": (32,),
    "feature_extractor.conv2.weight": (32, 32, 3, 3),
    "feature_extractor.conv2.bias": (32,),
    "feature_extractor.conv3.weight": (64, 32, 3, 3),
    "feature_extractor.conv3.bias": (64,),
    "feature_extractor.conv4.weight": (64, 64, 3, 3),
    "feature_extractor.conv4.bias": (64,),
    "classifier.fc1.weight": (200, 1024),
    "classifier.fc1.bias": (200,),
    "classifier.fc2.weight": (200, 200),
    "classifier.fc2.bias": (200,),
    "classifier.fc3.weight": (10, 200),
    "classifier.fc3.bias": (10,),
}


def batch_norm(name):
    return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def block(name, shortcut):
    keys = [*batch_norm(f"{name}.bn1"), f"{name}.conv1.weight", *batch_norm(f"{name}.bn2"), f"{name}.conv2.weight"]
    return keys + ([f"{name}.{shortcut}.weight"] if shortcut else [])


def test_small_cnn():
    model = SmallCNN()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == SMALL_CNN
    assert not model.classifier.fc3.weight.any()
    assert not model.classifier.fc3.bias.any()
    assert not model.feature_extractor.conv1.bias.any()
    assert model.feature_extractor.conv1.weight.any()
    assert model.classifier.drop.p == 0.5


def test_small_cnn_uses_each_activation_module_once():
    model, calls = SmallCNN(), []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, args, output, name=name: calls.append(name))
    model(torch.rand(1, 1, 28, 28))
    assert len(calls) == len(set(calls))
    assert {"feature_extractor.relu1", "feature_extractor.relu4", "classifier.relu1", "classifier.relu2"} < set(calls)


def test_preact_resnet18():
    keys = ["conv1.weight", "linear.weight", "linear.bias"]
    for stage in range(1, 5):
        keys += block(f"layer{stage}.0", "shortcut.0" if stage > 1 else None) + block(f"layer{stage}.1", None)
    assert sorted(PreActResNet18().state_dict()) == sorted(keys)


def test_wide_resnet_34_10():
    keys = ["conv1.weight", "fc.weight", "fc.bias", *batch_norm("bn1")]
    for stage in range(1, 4):
        for index in range(5):
            keys += block(f"block{stage}.layer.{index}", None if index else "convShortcut")
    with torch.device("meta"):
        model = WideResNet()
    assert sorted(model.state_dict()) == sorted(keys)
    assert model.fc.in_features == 640


def test_mnist_cnn():
    shapes = {name: tuple(value.shape) for name, value in MnistCNN(mean=[0.1], std=[0.3]).state_dict().items()}
    assert shapes == {
        "0.weight": (16, 1, 4, 4), "0.bias": (16,), "2.weight": (32, 16, 4, 4), "2.bias": (32,),
        "5.weight": (100, 1568), "5.bias": (100,), "7.weight": (10, 100), "7.bias": (10,),
    }  # fmt: skip


def resnet_keys(counts, convolutions, first_shortcut):
    keys = ["conv1.weight", *batch_norm("bn1"), "linear.weight", "linear.bias"]
    for stage, count in enumerate(counts, start=1):
        for index in range(count):
            name = f"layer{stage}.{index}"
            for number in range(1, convolutions + 1):
                keys += [f"{name}.conv{number}.weight", *batch_norm(f"{name}.bn{number}")]
            if index == 0 and stage >= first_shortcut:
                keys += [f"{name}.shortcut.0.weight", *batch_norm(f"{name}.shortcut.1")]
    return sorted(keys)


def test_resnets():
    with torch.device("meta"):
        small, large = ResNet18(), ResNet50()
    assert sorted(small.state_dict()) == resnet_keys((2, 2, 2, 2), 2, first_shortcut=2)
    assert sorted(large.state_dict()) == resnet_keys((3, 4, 6, 3), 3, first_shortcut=1)
    # The published form puts the stride into the 3×3 convolution.
    assert large.layer2[0].conv1.stride == (1, 1)
    assert large.layer2[0].conv2.stride == (2, 2)
