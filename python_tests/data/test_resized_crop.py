# SPDX-License-Identifier: MIT

import numpy as np
import pytest
import torch
from PIL import Image

from yopo_ext.data.resized_crop import Crops, draw_crops, resize_crops


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("side", "size"), [(16, 8), (12, 16), (9, 9), (1, 3)])
def test_each_crop_is_resized_as_pillow_does(side, size):
    pixels = torch.randint(256, (30, 3, side, side), dtype=torch.uint8, generator=generator())
    crops = draw_crops(30, side, generator(1))
    found = resize_crops(pixels, crops, size)
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    for image, result, top, left, height, width, flipped in zip(pixels, found, *crops, strict=True):
        part = Image.fromarray(image.permute(1, 2, 0).numpy()).crop(
            (int(left), int(top), int(left + width), int(top + height))
        )
        expected = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)).astype(float)
        expected = expected[:, ::-1] if flipped else expected
        assert np.abs(255 * result.permute(1, 2, 0).numpy() - expected).max() <= 1.01  # Pillow rounds twice


def test_the_whole_image_stays_as_it_is():
    pixels = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=generator())
    whole = torch.tensor([8, 8])
    crops = Crops(whole * 0, whole * 0, whole, whole, torch.tensor([False, True]))
    found = resize_crops(pixels, crops, 8)
    assert torch.equal((255 * found[0]).round(), pixels[0].float())
    assert torch.equal((255 * found[1]).round(), pixels[1].flip(-1).float())


def test_boxes_lie_inside_and_fill_the_shares_that_they_should():
    side, count = 100, 4000
    top, left, height, width, flipped = draw_crops(count, side, generator())
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= side).all()
    assert (left + width <= side).all()
    share, ratio = height * width / side**2, width / height
    assert 0.07 < share.min() < 0.1
    assert share.max() > 0.95
    assert abs(ratio.log().mean()) < 0.02
    assert ratio.min() > 0.72
    assert ratio.max() < 1.4
    assert 0.45 < flipped.float().mean() < 0.55
    # Every place is as likely as another, the last one included.
    narrow = height < 60
    assert (top[narrow] == (side - height)[narrow]).any()
    assert abs((top[narrow] / (side - height)[narrow]).mean() - 0.5) < 0.03


def test_a_least_share_of_one_is_the_whole_image():
    crops = draw_crops(50, 10, generator(), least_share=1.0)
    assert (crops.height * crops.width >= 81).all()


def test_no_images():
    assert resize_crops(torch.zeros(0, 3, 6, 6, dtype=torch.uint8), draw_crops(0, 6, generator()), 4).shape == (
        0,
        3,
        4,
        4,
    )
