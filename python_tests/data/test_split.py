# SPDX-License-Identifier: MIT

import pytest
import torch

from yopo_ext.data import ImageSet, draw_part, split_held_out
from yopo_ext.data.split import stratified_order


def sorted_by_class(*sizes):
    """A set as image folders give it: class after class; image i is i."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    images = torch.arange(len(labels)).to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return ImageSet(images, labels, len(sizes))


def numbers(images):
    return images.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("held_out", [4, 20, 50, 96])
def test_held_out_images_are_of_all_classes(held_out):
    images = sorted_by_class(25, 25, 25, 25)
    train, rest = split_held_out(images, held_out)
    assert sorted(numbers(train) + numbers(rest)) == list(range(100))
    assert [images.labels[i] for i in numbers(rest)] == rest.labels.tolist()
    for part in (train, rest):
        assert all(abs(int(count) - len(part) / 4) <= 1 for count in part.labels.bincount(minlength=4))


def test_a_part_shows_classes_by_their_shares():
    images = sorted_by_class(60, 30, 6)
    for count in range(1, 96):
        shown = draw_part(images, count).labels.bincount(minlength=3)
        expected = count * torch.tensor([60, 30, 6]) / 96
        assert (shown - expected).abs().max() < 1.5


def test_parts_are_nested_random_and_no_runs_own():
    images = sorted_by_class(40, 40)
    small, large = numbers(draw_part(images, 10)), numbers(draw_part(images, 30))
    assert large[:10] == small
    assert small != sorted(small)
    torch.manual_seed(5)
    assert numbers(draw_part(images, 10)) == small
    assert numbers(draw_part(images, 10, seed=1)) != small
    for count in (80, 99):
        assert numbers(draw_part(images, count)) == list(range(80))
    with pytest.raises(ValueError, match="cannot take 0 images"):
        draw_part(images, 0)


def test_it_is_a_permutation_whatever_the_labels():
    for labels in ([], [3], [0, 0, 5], [7] * 9, [1, 0] * 6):
        order = stratified_order(torch.tensor(labels, dtype=torch.int64), 1)
        assert sorted(order.tolist()) == list(range(len(labels)))


def test_a_seed_decides_the_split_alone():
    images = sorted_by_class(25, 25)

    def held_out(**options):
        torch.manual_seed(int(torch.randint(1000, ())))
        return numbers(split_held_out(images, 20, **options)[1])

    assert held_out() == held_out()
    assert held_out(seed=1) != held_out(seed=2)


@pytest.mark.parametrize("held_out", [-1, 0, 5, 6])
def test_both_parts_get_an_image(numbered, held_out):
    with pytest.raises(ValueError, match=f"cannot hold out {held_out} of 5 images"):
        split_held_out(numbered(5), held_out)
