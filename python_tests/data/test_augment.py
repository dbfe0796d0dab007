# SPDX-License-Identifier: MIT

import torch
from torch.nn import functional as F

from yopo_ext.data import crop_and_flip, random_crop, random_flip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(count=200, channels=3, height=6, width=7):
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=seeded(9))


def offset_of(crop, image, padding):
    """Where in the padded image the crop lies; exactly one place fits."""
    padded = F.pad(image, (padding,) * 4)
    height, width = image.shape[1:]
    places = [(i, j) for i in range(2 * padding + 1) for j in range(2 * padding + 1)]
    found = [(i, j) for i, j in places if torch.equal(padded[:, i : i + height, j : j + width], crop)]
    assert len(found) == 1
    return found[0]


def test_every_crop_is_a_window_of_its_own_padded_image():
    images = batch()
    crops = random_crop(images, 2, seeded())
    assert (crops.shape, crops.dtype) == (images.shape, torch.uint8)
    offsets = {offset_of(crop, image, 2) for crop, image in zip(crops, images, strict=True)}
    assert offsets == {(i, j) for i in range(5) for j in range(5)}


def test_no_padding_no_change():
    images = batch(5)
    assert torch.equal(random_crop(images, 0, seeded()), images)


def test_a_flip_mirrors_the_columns_of_half_of_the_images():
    images = batch()
    before = images.clone()
    flipped = random_flip(images, seeded())
    mirrored = 0
    for image, result in zip(images, flipped, strict=True):
        same, mirror = torch.equal(result, image), torch.equal(result, image[:, :, torch.arange(6, -1, -1)])
        assert same != mirror
        mirrored += mirror
    assert 70 < mirrored < 130
    assert torch.equal(images, before)


def test_the_usual_augmentation_pads_by_four():
    images = batch(64, height=8, width=8)
    results = crop_and_flip(images, seeded())
    offsets, mirrored = set(), 0
    for image, result in zip(images, results, strict=True):
        padded = F.pad(image, (4,) * 4)
        windows = {(i, j): padded[:, i : i + 8, j : j + 8] for i in range(9) for j in range(9)}
        plain = [place for place, window in windows.items() if torch.equal(window, result)]
        flipped = [place for place, window in windows.items() if torch.equal(window, result.flip(-1))]
        assert len(plain) + len(flipped) == 1
        offsets.update(plain, flipped)
        mirrored += len(flipped)
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(9))
    assert 16 < mirrored < 48


def test_the_generator_decides_alone():
    images = batch(20)
    torch.manual_seed(1)
    first = crop_and_flip(images, seeded(3))
    torch.manual_seed(2)
    assert torch.equal(crop_and_flip(images, seeded(3)), first)
    assert not torch.equal(crop_and_flip(images, seeded(4)), first)
