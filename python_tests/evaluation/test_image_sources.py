# SPDX-License-Identifier: MIT
"""8-bit sets, tensors and loaders: the same images give the same figures, whatever holds them."""

import math

import pytest
import torch
from robustness import doors, robust
from torch.utils.data import DataLoader, TensorDataset

from yopo_ext.data import ImageSet, to_float
from yopo_ext.data.batch import Batch
from yopo_ext.evaluation import FGSMAttack, PGDAttack, accuracy, measure, outcomes

ATTACKS = {
    "fgsm": FGSMAttack(0.1),
    "pgd": PGDAttack(0.1, 2, restarts=2),
    "l2": PGDAttack(0.5, 2, loss="margin", norm="l2"),
    "targeted": PGDAttack(0.1, 2, loss="ce", targets="random"),
    "all": PGDAttack(0.5, 2, targets="all", norm="l2"),
}


class Loader:
    """Iterable as often as one likes; yields what a function makes of batches of these sizes."""

    def __init__(self, images, sizes, make):
        self.images, self.sizes, self.make = images, sizes, make

    def __iter__(self):
        start = 0
        for size in self.sizes:
            part = slice(start, start + size)
            yield self.make(self.images.images[part], self.images.labels[part])
            start += size


SOURCES = {
    "set": lambda images: images,
    "float pair": lambda images: (to_float(images.images), images.labels),
    "8-bit pair": lambda images: [images.images, images.labels.to(torch.int32)],
    "channels last": lambda images: (to_float(images.images).to(memory_format=torch.channels_last), images.labels),
    "DataLoader": lambda images: DataLoader(TensorDataset(to_float(images.images), images.labels), batch_size=13),
    "8-bit DataLoader": lambda images: DataLoader(TensorDataset(images.images, images.labels), batch_size=64),
    "list of batches": lambda images: list(Loader(images, (1, 29, 60), lambda x, y: (to_float(x), y))),
    "Batch": lambda images: Loader(images, (90,), Batch),
    "an empty batch": lambda images: Loader(images, (0, 50, 40), lambda x, y: (to_float(x), y)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_figures_are_those_of_the_set(model, images, name):
    options = {"check_normalisation": False}
    found = measure(model, SOURCES[name](images), list(ATTACKS.values()), batch_size=32, **options)
    assert found == measure(model, images, list(ATTACKS.values()), **options)
    assert 0 < found.worst < found.clean


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("eight_bit", [True, False])
def test_an_images_attack_is_its_own_whatever_batch_it_is_in(model, images, attack, eight_bit):
    """Also of images that are no multiples of 1/255, and in another order."""
    x = images.images if eight_bit else (to_float(images.images) * 0.97 + 0.011)
    whole = outcomes(model, (x, images.labels), [ATTACKS[attack]])
    assert 0 < whole.attacked[0].survived.sum() < whole.correct.sum()
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    mixed = DataLoader(TensorDataset(x[order], images.labels[order]), batch_size=7)
    for batch_size in (1, 4, 512):
        found = outcomes(model, mixed, [ATTACKS[attack]], batch_size=batch_size)
        assert torch.equal(found.correct, whole.correct[order])
        assert torch.equal(found.attacked[0].survived, whole.attacked[0].survived[order])


def test_a_shuffled_loader_mixes_nothing_up(model, images):
    """Each batch's verdicts and attacks are of one iteration: no image is judged by another's."""
    attacks = list(ATTACKS.values())
    expected = measure(model, images, attacks, check_normalisation=False)
    loader = DataLoader(TensorDataset(images.images, images.labels), batch_size=16, shuffle=True)
    for _ in range(2):
        assert measure(model, loader, attacks, check_normalisation=False) == expected


def test_one_pass_over_the_batches_and_one_in_memory_at_a_time(model, images):
    drawn = []

    class Counting(Loader):
        def __iter__(self):
            for item in super().__iter__():
                drawn.append(len(item[0]))
                yield item

    loader = Counting(images, (30, 30, 30), lambda x, y: (x, y))
    held = []
    measure(model, loader, [FGSMAttack(0.1)], check_normalisation=False, on_batch=lambda: held.append(len(drawn)))
    assert drawn == [30, 30, 30]
    assert held == [1, 1, 2, 2, 3, 3]


DOORS = doors(ATTACKS["pgd"], swept=ATTACKS["l2"])
EVERY_DOOR = pytest.mark.parametrize(
    "door", DOORS, ids=["accuracy", "measure", "outcomes", "sweep", "transfer", "examples", "doubt"]
)


@EVERY_DOOR
def test_all_doors_take_all_sources(model, images, door):
    expected = DOORS[door](model, images)
    for name in ("float pair", "DataLoader"):
        assert DOORS[door](model, SOURCES[name](images)) == expected


def wrong(images):
    x, y = to_float(images.images), images.labels
    nan = x.clone()
    nan[3, 0, 1, 1] = math.nan
    return {
        "normalised": ((x - 0.5) / 0.2, y, ValueError, r"images: got values from -2.5 to 2.5, expected \[0, 1\]: put"),
        "nan": (nan, y, ValueError, "images: got values from nan to nan"),
        "0 to 255": (x * 255, y, ValueError, r"images: got values from 0 to 255, expected \[0, 1\]"),
        "half": (x.half(), y, TypeError, "images: got torch.float16, expected uint8, or float32 or float64"),
        "flat": (x.flatten(1), y, ValueError, r"images: got shape \(90, 16\), expected \(B, C, H, W\)"),
        "fewer labels": (x, y[1:], ValueError, r"labels: got shape \(89,\), expected \(90,\), one an image"),
        "columns": (x, y[:, None], ValueError, r"labels: got shape \(90, 1\), expected \(90,\)"),
        "one-hot": (x, torch.eye(3)[y], TypeError, "labels: got torch.float32, expected a tensor .* of int64"),
        "negative": (x, y - 1, ValueError, "labels: got -1, expected at least 0"),
        "too large": (x, y + 1, ValueError, "labels: got 3, expected below 3, the classes of the network's outputs"),
        "list": (x, y.tolist(), TypeError, "labels: got a list"),
    }


@pytest.mark.parametrize("name", wrong(ImageSet(torch.zeros(90, 1, 4, 4).byte(), torch.zeros(90).long(), 3)))
@EVERY_DOOR
def test_images_and_labels_are_checked(model, images, name, door):
    x, y, error, message = wrong(images)[name]
    with pytest.raises(error, match=message):
        DOORS[door](model, [(x, y)])
    if isinstance(y, torch.Tensor):
        with pytest.raises(error, match=message):
            DOORS[door](model, (x, y))


def test_what_is_no_batch(model, images):
    with pytest.raises(TypeError, match=r"batches: yielded a Tensor, expected \(x, y\) with images x, or a Batch"):
        accuracy(model, DataLoader(to_float(images.images)))
    with pytest.raises(ValueError, match="images: got none"):
        accuracy(model, [])
    with pytest.raises(TypeError, match="images: got a generator, which can be iterated once only"):
        accuracy(model, (pair for pair in [(images.images, images.labels)]))
    with pytest.raises(ValueError, match="batch_size: got 0, expected at least 1"):
        accuracy(model, images, batch_size=0)


def test_too_few_classes_are_found_on_the_first_batch_of_a_loader(images):
    class Two(torch.nn.Module):
        calls = 0

        def forward(self, x):
            Two.calls += 1
            return x.flatten(1)[:, :2]

    loader = DataLoader(TensorDataset(images.images, images.labels % 2), batch_size=30)
    with pytest.raises(ValueError, match="loss 'dlr' needs at least 3 classes, these images have 2"):
        robust(Two(), loader, PGDAttack(0.1, loss="dlr"))
    assert Two.calls == 1


def test_float64_images_and_network(model, images):
    double = model.double()
    x = to_float(images.images).double()
    attacks = [ATTACKS["pgd"], ATTACKS["l2"]]
    found = measure(double, (x, images.labels), attacks, check_normalisation=False)
    assert 0 < found.worst < found.clean
