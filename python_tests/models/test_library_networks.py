# SPDX-License-Identifier: MIT
"""`timm:NAME` and `torchvision:NAME`: built for the images at hand, from the run's own seed, normalised inside."""

import copy

import pytest
import torch
from torch import nn

from yopo_ext import YOPO, find_first_layer
from yopo_ext.data import Dataset, ImageSet
from yopo_ext.models import MODELS, Library, Normalize, build_model, load_weights
from yopo_ext.models.adopted import adopt
from yopo_ext.random_streams import drawing_from
from yopo_ext.training import Run, change_config, evaluate_run, make_config

X = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def library(name):
    """The package, or a skipped test."""
    return pytest.importorskip(name, reason=f"needs {name}", exc_type=Exception)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x):
        return self.head(self.relu(self.conv(x)))


def adopted(network, size=(8, 8), **options):
    options = {"in_channels": 3, "num_classes": 5, "mean": None, "std": None, **options}
    return adopt(network, "lib:net", image_size=size, **options)


def test_a_network_keeps_its_keys_and_gets_its_normalisation():
    torch.manual_seed(0)
    plain = Small()
    network = adopted(copy.deepcopy(plain), mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
    assert list(network.state_dict()) == list(plain.state_dict())
    assert network.training
    by_hand = plain(Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])(X))
    for twin in (network, copy.deepcopy(network)):
        assert torch.equal(twin(X), by_hand)
    found = find_first_layer(network, X)
    assert found.names == ("normalize", "conv", "relu")
    yopo = YOPO(network, found.modules, 2, 2)
    yopo.accumulate(X, torch.arange(4))
    assert yopo.first_layer.input_gradient_error < 1e-5


def test_a_file_may_bring_the_normalisation(tmp_path):
    network = adopted(Small())
    state = {**network.state_dict(), "mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.25)}
    torch.save(state, tmp_path / "w.pt")
    before = network(X)
    with pytest.warns(match="normalise the images"):
        load_weights(network, tmp_path / "w.pt")
    assert not torch.allclose(network(X), before)
    assert torch.allclose(network(X * 0.25 + 0.5), before, atol=1e-5)


def test_what_does_not_fit_is_refused_before_anybody_trains():
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    taken = Small()
    taken.normalize = nn.Identity()
    for network, options, message in (
        (taken, {}, "has an attribute 'normalize' of its own"),
        (Small(), {"in_channels": 1}, "does not take images of 1x8x8: "),
        (Small(), {"num_classes": 7}, r"returns shape \(1, 5\) for an image of 3x8x8, expected logits of \(1, 7\)"),
        (nn.Sequential(Small()), {}, "is an nn.Sequential"),
        (Two(), {}, r"returns a tuple for an image of 3x8x8, expected logits of \(1, 5\)"),
    ):
        with pytest.raises(ValueError, match=f"^model: lib:net {message}"):
            adopted(network, **options)


def test_names_of_libraries():
    assert {"timm:NAME", "torchvision:NAME"} <= set(MODELS.names)
    assert "timm:anything" in MODELS  # imports nothing
    assert "nobody:resnet18" not in MODELS
    for name in ("nobody:resnet18", "timm", "resnet"):
        with pytest.raises(ValueError, match=rf"^model: got '{name}', expected one of .*timm:NAME"):
            MODELS[name]


def test_a_package_that_is_not_there_is_named():
    def network(name):
        from yopo_ext.models.adopted import import_library

        import_library("yopo_ext_no_such_package")

    MODELS.add(Library("absent", network, "a package that is not there"))
    try:
        with pytest.raises(ValueError, match=r"^model: yopo_ext_no_such_package:NAME needs the package .*pip install"):
            build_model("absent:resnet18", in_channels=3, num_classes=10)
    finally:
        MODELS.entries.pop("absent:NAME")


NETWORKS = ("timm:test_resnet", "timm:vit_tiny_patch16_224", "torchvision:shufflenet_v2_x0_5")


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_from_the_seed_alone(name):
    library(name.partition(":")[0])

    def built(seed, noise):
        torch.manual_seed(noise)
        with drawing_from(seed):
            return build_model(name, in_channels=3, num_classes=7, image_size=32)

    one, same, other = built(3, 0), built(3, 1), built(4, 0)
    assert one.eval()(X).shape == (4, 7)
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_channels_and_sizes_where_the_library_has_them():
    library("timm")
    model = build_model("timm:vit_tiny_patch16_224", in_channels=1, num_classes=4, image_size=(32, 48))
    assert model.eval()(torch.rand(2, 1, 32, 48)).shape == (2, 4)
    with pytest.raises(ValueError, match=r"^model: timm:vit_tiny_patch16_224 does not take images of 1x8x8"):
        build_model("timm:vit_tiny_patch16_224", in_channels=1, num_classes=4, image_size=8)
    with pytest.raises(ValueError, match=r"^model: got 'timm:resnt18', which timm .* lacks; expected one like"):
        build_model("timm:resnt18", in_channels=3, num_classes=4)
    with pytest.raises(ValueError, match=r"^activation: got 'gelu', and timm:resnet18 has its own"):
        build_model("timm:resnet18", in_channels=3, num_classes=4, activation="gelu")


def test_what_torchvision_lacks():
    library("torchvision")
    with pytest.raises(ValueError, match=r"^model: torchvision:resnet18 takes 3 channels, these images have 1"):
        build_model("torchvision:resnet18", in_channels=1, num_classes=4, image_size=32)
    with pytest.raises(ValueError, match=r"^model: torchvision:vit_b_16 takes square images .*32x30"):
        build_model("torchvision:vit_b_16", in_channels=3, num_classes=4, image_size=(32, 30))
    model = build_model("torchvision:googlenet", in_channels=3, num_classes=4, image_size=64)
    assert isinstance(model(torch.rand(2, 3, 64, 64)), torch.Tensor)  # no auxiliary heads


def images(count, channels=3, side=32):
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, channels, side, side), generator=generator).to(torch.uint8)
    return ImageSet(pixels, torch.arange(count) % 10, 10)


DATA = Dataset("cifar10", images(16), images(8))
TINY = {
    "dataset": "cifar10", "epochs": 2, "batch_size": 8, "curve_images": 8, "curve_steps": 1, "eval_steps": 1,
    "limit_eval": 8, "lr": 0.01,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "first"),
    [("timm:resnet10t", "conv1.0,conv1.1,conv1.2"), ("torchvision:shufflenet_v2_x0_5", "conv1.0,conv1.1,conv1.2")],
)
def test_a_run_goes_on_bit_for_bit(name, first, tmp_path, capsys):
    library(name.partition(":")[0])
    config = make_config(model=name, method="yopo-2-2", mean=(0.5,) * 3, std=(0.25,) * 3, **TINY)
    whole = Run(config, tmp_path / "whole", DATA)
    assert f"first layer: normalize,{first}" in capsys.readouterr().out
    whole.fit()
    Run(change_config(config, epochs=1), tmp_path / "parts", DATA, show=False).fit()
    parts = Run(config, tmp_path / "parts", DATA, show=False)
    parts.resume()
    parts.fit()
    one, other = whole.trainer.model.state_dict(), parts.trainer.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert len(parts.trainer.optimizer.param_groups[0]["params"]) == 3  # the convolution's and the batch norm's


@pytest.mark.parametrize(
    "method", ["natural", "fast", "free-2", "pgd-1", "trades-1", "trades-yopo-1-1", "n-fgsm", "yopo-attack-1-1"]
)
def test_every_method(method, tmp_path):
    library("timm")
    config = make_config(model="timm:test_resnet", method=method, **{**TINY, "epochs": 1})
    run = Run(config, tmp_path, DATA, show=False)
    run.fit()
    assert run.trainer.log[-1]["loss"] > 0


def test_a_run_is_measured_from_its_folder(tmp_path, monkeypatch):
    library("timm")
    config = make_config(model="timm:test_resnet", method="yopo-1-1", **{**TINY, "epochs": 1})
    Run(config, tmp_path, DATA, show=False).fit()
    monkeypatch.setattr("yopo_ext.training.runs.prepare_data.load_test_images", lambda *_: DATA.test)
    assert evaluate_run(tmp_path).to_dict()["images"] == 8
