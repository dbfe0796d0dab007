# SPDX-License-Identifier: MIT
"""Networks as chains of parts: our own, sequences, and by name."""

import pytest
import torch
from torch import nn

from yopo_ext.layer_chain import chain_of
from yopo_ext.models import MODELS, Network, WideResNet, build_model
from yopo_ext.models.layered import Layered, flatten

OURS = [
    one.name
    for one in MODELS
    if isinstance(one, Network) and getattr(one.build, "func", one.build).__module__.startswith("yopo_ext.")
]


def small(name, mean):
    """A network of ours, the wide ones narrow, whose last layer does not start at 0."""
    torch.manual_seed(0)
    options = {"in_channels": 1, "num_classes": 10, "mean": mean, "std": mean}
    if not name.startswith("wrn"):
        model = build_model(name, **options)
    else:
        model = WideResNet(depth=10, widen_factor=1, first_activation=name.endswith("-relu"), **options)
    for parameter in list(model.parameters())[-2:]:
        nn.init.normal_(parameter)
    return model.eval(), MODELS[name].image_size or 16


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("mean", [None, (0.3,)])
def test_our_networks_are_the_composition_of_their_layers(name, mean, one_thread):
    model, side = small(name, mean)
    x = torch.rand(2, 1, side, side)
    parts = chain_of(model)
    found = x
    with torch.no_grad():
        for part in parts:
            found = part(found)
        assert torch.equal(found, model(x))
    owned = [parameter for part in parts for parameter in part.parameters()]
    assert [id(one) for one in owned] == list(dict.fromkeys(map(id, owned)))
    assert {id(one) for one in owned} == {id(one) for one in model.parameters()}
    assert parts[0].modules == model.first_layer
    assert all(any(True for _ in part.parameters()) for part in parts)


def test_a_sequential_is_cut_before_each_module_with_parameters():
    model = nn.Sequential(
        nn.Identity(), nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)
    )
    parts = chain_of(model)
    assert [[type(one).__name__ for one in part.functions] for part in parts] == [
        ["Identity", "Conv2d", "ReLU"], ["BatchNorm2d", "Flatten"], ["Linear"],
    ]  # fmt: skip
    assert [part.name for part in parts] == ["1", "3", "5"]


def test_a_part_leaves_its_input_alone():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 3))
    x = -torch.ones(1, 1, 3, 3)
    chain_of(model)[0](x)
    assert (x == -1).all()


class Plain(nn.Module):
    """What somebody else's network looks like."""

    def __init__(self):
        super().__init__()
        self.normalize = None
        self.conv1, self.relu, self.fc = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.relu(self.conv1(x)).flatten(1))


def test_parts_by_name():
    model = Plain()
    parts = chain_of(model, "conv1+relu,flatten+fc")
    assert [part.modules for part in parts] == [(model.conv1, model.relu), (model.fc,)]
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(parts[1](parts[0](x)), model(x))
    model.normalize = nn.Identity()
    assert chain_of(model, "conv1+relu,flatten+fc")[0].modules == (model.normalize, model.conv1, model.relu)


def test_wrapped_networks_have_their_own_parts():
    model = build_model("digits-cnn", in_channels=1, num_classes=10)
    assert [part.name for part in chain_of(nn.DataParallel(model))] == [part.name for part in chain_of(model)]


@pytest.mark.parametrize(
    ("chain", "error", "message"),
    [
        (None, ValueError, "Plain does not say what it is made of"),
        ("conv1,layer1", ValueError, "chain: got 'layer1', expected names of modules of Plain, as"),
        ("conv1+relu,flatten", TypeError, "chain: part 1 ends in function, expected a module"),
        ([], ValueError, "chain: got no parts"),
        ([()], TypeError, "chain: part 0 ends in nothing"),
        ([nn.Conv2d(1, 1, 1)], ValueError, "chain: part 0 has a Conv2d that is no module of the network"),
        ("conv1,relu,relu", ValueError, "chain: relu is in it twice"),
    ],
)
def test_what_is_no_chain(chain, error, message):
    with pytest.raises(error, match=message):
        chain_of(Plain(), chain)


def test_what_is_neither_module_nor_function():
    model = Plain()
    with pytest.raises(TypeError, match="part 1 has a int, expected modules and functions"):
        chain_of(model, [model.conv1, (3, model.fc)])
    assert chain_of(model, [(model.conv1, model.relu), (flatten, model.fc)])[1].functions == (flatten, model.fc)


def test_a_network_that_is_its_tail_of_its_first_layer_and_no_more():
    class Two(Layered):
        normalize = None

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)

        @property
        def head(self):
            return (self.first,)

        def tail(self, x):
            return self.second(x)

    with pytest.raises(ValueError, match="Two does not say what it is made of"):
        chain_of(Two())
    assert [part.name for part in chain_of(Two(), "first,second")] == ["first", "second"]
