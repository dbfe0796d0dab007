# SPDX-License-Identifier: MIT
"""Where a mini-batch's images come from and where augmentation put them: what adversaries need that remember."""

import pytest
import torch

from yopo_ext.data import DeviceLoader, ImageSet
from yopo_ext.data.augment import CROP_PADDING, draw_placement, place, take_back


def seeded():
    return torch.Generator().manual_seed(3)


def images(count=40, height=8, width=10):
    """No pixel is 0, which is what a crop fills with."""
    return torch.randint(1, 256, (count, 3, height, width), generator=seeded()).to(torch.uint8)


def test_what_is_taken_back_is_the_image_where_the_crop_left_it():
    x = images()
    placement = draw_placement(x, seeded())
    back = take_back(place(x, placement), placement)
    kept = back != 0
    assert torch.equal(back[kept], x[kept])
    for top, left, one in zip(placement.top, placement.left, kept, strict=True):
        assert one.sum() == 3 * (8 - abs(top)) * (10 - abs(left))
    assert placement.flipped.any()
    assert not placement.flipped.all()
    assert {int(placement.top.min()), int(placement.top.max())} == {-CROP_PADDING, CROP_PADDING}


def test_a_perturbation_is_taken_back_and_placed_anew():
    """η of the placed image, kept in the image's own coordinates, lies on the same pixels in the next epoch."""
    x = images().float()
    first, second = draw_placement(x, seeded()), draw_placement(x, torch.Generator().manual_seed(4))
    kept = take_back(place(x, first), first)
    again = place(kept, second)
    there = again != 0
    assert torch.equal(again[there], place(x, second)[there])


@pytest.mark.parametrize("rows", [None, lambda size: (size // 2, size)], ids=["alone", "second of two"])
@pytest.mark.parametrize("augment", [False, True])
def test_a_loaders_index_and_placement_agree_with_the_images_it_yields(augment, rows):
    pixels = images(23, 8, 8)
    labels = torch.arange(23) % 5
    loader = DeviceLoader(ImageSet(pixels, labels, 5), 6, seed=2, augment=augment, rows=rows)
    met = []
    for _ in range(2):
        for batch in loader:
            own = pixels[batch.index]
            assert (batch.placement is not None) == augment
            placed = own if batch.placement is None else place(own, batch.placement)
            assert torch.equal(batch.x, placed.float() / 255)
            assert torch.equal(batch.y, labels[batch.index])
            start, stop, size = batch.rows
            assert len(batch) == stop - start
            assert (start, stop) == ((0, size) if rows is None else (size // 2, size))
            met += batch.index.tolist()
    if rows is None:
        assert sorted(met) == sorted([*range(23)] * 2)
