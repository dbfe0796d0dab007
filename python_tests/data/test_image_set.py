# SPDX-License-Identifier: MIT

import pytest
import torch

from yopo_ext.data import ImageSet, to_float

IMAGES, LABELS = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:, 0], LABELS, r"images must be .* got shape \(3, 2, 2\)"),
        (IMAGES, LABELS[:2], r"labels must be \(3,\) int64, got shape \(2,\)"),
        (IMAGES, LABELS + 1, r"labels must lie in 0..2, got 1..3"),
        (IMAGES, LABELS - 1, r"labels must lie in 0..2, got -1..1"),
    ],
)
def test_what_is_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(images, labels, 3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.float(), LABELS, r"images: got torch.float32, expected a tensor of torch.uint8, 0..255: of floats in"),
        (IMAGES.numpy(), LABELS, r"images: got a ndarray, expected a tensor of torch.uint8"),
        (IMAGES, LABELS.int(), r"labels: got torch.int32, expected a tensor of torch.int64$"),
        (IMAGES, [0, 1, 2], r"labels: got a list, expected a tensor of torch.int64$"),
    ],
)
def test_another_type_is_refused_by_name(images, labels, message):
    with pytest.raises(TypeError, match=message):
        ImageSet(images, labels, 3)


def test_take_and_select(numbered):
    images = numbered(15)
    assert images.take(4).images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert len(images.take(99)) == 15
    selected = images.select(torch.tensor([13, 2]))
    assert selected.images[:, 0, 0, 0].tolist() == [13, 2]
    assert selected.labels.tolist() == [3, 2]
    with pytest.raises(ValueError, match="cannot take 0 images"):
        images.take(0)


def test_to_float_is_exact_at_both_ends():
    values = torch.arange(256, dtype=torch.uint8)
    converted = to_float(values)
    assert converted.dtype == torch.float32
    assert torch.equal(converted, torch.arange(256).float() / 255)
    assert (converted[0], converted[255]) == (0, 1)
    assert values[255] == 255


@pytest.mark.parametrize("count", [1, 7, 12])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 9])
def test_shards_hold_every_image_exactly_once(numbered, count, world_size):
    images = numbered(count)
    shards = [images.shard(rank, world_size) for rank in range(world_size)]
    numbers = torch.cat([shard.images[:, 0, 0, 0] for shard in shards]).tolist()
    assert sorted(numbers) == list(range(count))
    assert [number % 10 for number in numbers] == torch.cat([shard.labels for shard in shards]).tolist()
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert all(shard.num_classes == 10 for shard in shards)


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_lies_within_the_world(numbered, rank, world_size):
    with pytest.raises(ValueError, match=f"for world_size {world_size}, got {rank}"):
        numbered(5).shard(rank, world_size)
