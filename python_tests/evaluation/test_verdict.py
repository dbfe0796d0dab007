# SPDX-License-Identifier: MIT
"""Outputs that cannot be compared with the labels are never an accuracy."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from robustness import batch_of, doors
from torch import nn

from yopo_ext.data import ImageSet
from yopo_ext.evaluation import AutoAttack, FGSMAttack, PGDAttack, accuracy
from yopo_ext.evaluation.attacks import autoattack
from yopo_ext.evaluation.outcomes import attack_batch
from yopo_ext.training import Processes, StopRequest, make_config
from yopo_ext.training.runs.measuring import curve_accuracies

ATTACK = PGDAttack(0.1, steps=2)
MEASURES = doors(ATTACK)


class Outputs(nn.Module):
    """A network whose logits another function turns into its outputs; counts its forward passes."""

    def __init__(self, then, columns: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, columns))
        self.then, self.calls = then, 0

    def forward(self, x):
        self.calls += 1
        return self.then(self.body(x))


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels, (torch.arange(16) % 8 >= 5).long(), 2)


WRONG = {
    "one neuron": (
        Outputs(lambda z: z, 1), ValueError,
        r"got shape \(\d+, 1\), one output neuron, .* at least 2 for the 2 classes .* make the logits \(0, z\)",
    ),
    "one flat": (Outputs(lambda z: z[:, 0], 1), ValueError, r"got shape \(\d+,\), .*: of one neuron's output z"),
    "dense": (Outputs(lambda z: z[:, :, None, None].expand(-1, -1, 8, 8)), ValueError, r"got shape \(\d+, 2, 8, 8\)"),
    "ensemble": (Outputs(lambda z: torch.stack([z] * 3, 1)), ValueError, r"got shape \(\d+, 3, 2\), expected logits"),
    "half a batch": (Outputs(lambda z: z[: len(z) // 2]), ValueError, r"got shape \(\d+, 2\), expected logits \(16, K"),
    "classes": (Outputs(lambda z: z.argmax(1)), TypeError, r"got torch.int64, expected logits \(16, K\)"),
    "tuple": (Outputs(lambda z: (z, z)), TypeError, r"got a tuple, expected logits .*: wrap the network in a module"),
    "dict": (Outputs(lambda z: {"logits": z}), TypeError, r"got a dict, expected logits"),
    "logits": (Outputs(lambda z: SimpleNamespace(logits=z)), TypeError, r"got a SimpleNamespace, expected logits"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", MEASURES)
def test_outputs_that_do_not_fit_are_refused_on_the_first_batch(images, name, wrong):
    model, kind, message = WRONG[wrong]
    model.calls = 0
    with pytest.raises(kind, match="the network's outputs: " + message):
        MEASURES[name](model, images)
    assert model.calls == 1
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("wrong", WRONG)
def test_a_run_refuses_them_where_it_measures(images, wrong):
    model, kind, message = WRONG[wrong]
    with pytest.raises(kind, match="the network's outputs: " + message):
        curve_accuracies(make_config(), model, images, Processes(), StopRequest())


@pytest.mark.parametrize("attack", [ATTACK, FGSMAttack(0.1), PGDAttack(0.1, 1, targets="next", loss="margin")])
def test_an_attack_refuses_them_also_where_it_is_told_what_is_correct(images, attack):
    model = Outputs(lambda z: z, 1)
    with pytest.raises(ValueError, match="one output neuron"):
        attack_batch(attack, model, batch_of(images), images.labels == 0)
    assert model.calls == 1


def test_fewer_columns_than_classes_names_both(images):
    ten = ImageSet(images.images, images.labels, 10)
    message = r"got shape \(16, 3\), logits of 3 classes, expected logits \(16, K\), K at least 10 for the 10 classes"
    with pytest.raises(ValueError, match=message):
        accuracy(Outputs(lambda z: z, 3), ten)


def test_auto_attack_refuses_them_before_the_package_begins(images, monkeypatch):
    class Package:
        class AutoAttack:
            apgd_targeted = fab = SimpleNamespace()

            def __init__(self, *args, **options):
                pass

            def run_standard_evaluation(self, *args, **options):
                raise AssertionError

    monkeypatch.setattr(autoattack, "import_auto_attack", lambda: Package)
    ten = ImageSet(images.images, images.labels, 10)
    with pytest.raises(ValueError, match="logits of 3 classes"):
        attack_batch(AutoAttack(0.1), Outputs(lambda z: z, 3), batch_of(ten), torch.ones(16, dtype=torch.bool))


def test_more_columns_than_classes_are_taken(images):
    """As of a head for 1,000 classes that is measured on images of a few."""
    wide, narrow = Outputs(lambda z: nn.functional.pad(z, (0, 3), value=-9.0)), Outputs(lambda z: z)
    for name in ("accuracy", "measure"):
        assert MEASURES[name](wide, images) == MEASURES[name](narrow, images)


def test_an_image_whose_logits_are_nan_is_of_no_class(images):
    """torch's argmax takes NaN for the largest, so that a diverged network would say 0 to everything."""
    assert 0 < int((images.labels == 0).sum()) < 16
    assert accuracy(Outputs(lambda z: z * math.nan), images) == 0
    attack = PGDAttack(0.1, steps=1, targets="next")
    everywhere = torch.ones(16, dtype=torch.bool)
    assert not attack_batch(attack, Outputs(lambda z: z * math.nan), batch_of(images), everywhere).reached.any()


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_no_source_of_images_is_refused_by_name(images, name):
    model = Outputs(lambda z: z)
    once = iter([(images.images, images.labels)])
    wrong = ((images.images / 255, "a Tensor"), (once, "a list_iterator, which can be .* once only"), (7, "a int"))
    for given, found in wrong:
        with pytest.raises(TypeError, match=f"images: got {found}, expected a yopo_ext.data.ImageSet"):
            MEASURES[name](model, given)
    assert model.calls == 0


def test_what_is_no_module_is_refused_by_name(images):
    with pytest.raises(TypeError, match=r"model: got a function, expected a torch.nn.Module"):
        accuracy(lambda x: x.flatten(1), images)
