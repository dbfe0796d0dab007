# SPDX-License-Identifier: MIT

import io

import pytest
import torch

from yopo_ext.data import DeviceLoader


def numbers(x):
    return (x[:, 0, 0, 0] * 255).round().long().tolist()


def epochs(loader, count):
    return [[number for x, _ in loader for number in numbers(x)] for _ in range(count)]


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5, 5, 5, 3]), (23, [23]), (50, [23])])
def test_every_image_once_an_epoch(numbered, batch_size, sizes):
    loader = DeviceLoader(numbered(23), batch_size)
    assert len(loader) == len(sizes)
    for epoch in range(3):
        assert (loader.epoch, loader.position) == (epoch, 0)
        batches = list(loader)
        assert [len(x) for x, _ in batches] == sizes
        assert sorted(number for x, _ in batches for number in numbers(x)) == list(range(23))


def test_images_are_floats_with_their_own_labels(numbered):
    for x, y in DeviceLoader(numbered(30, channels=2, size=3), 7):
        assert x.dtype == torch.float32
        assert x.shape[1:] == (2, 3, 3)
        assert y.tolist() == [number % 10 for number in numbers(x)]


def test_a_short_last_batch_is_left_out_on_request(numbered):
    loader = DeviceLoader(numbered(23), 5, drop_last=True)
    assert len(loader) == 4
    assert [len(x) for x, _ in loader] == [5, 5, 5, 5]


def test_each_epoch_has_an_order_of_its_own_that_the_seed_decides(numbered):
    images = numbered(40)
    torch.manual_seed(1)
    first = epochs(DeviceLoader(images, 7, seed=3), 3)
    torch.manual_seed(2)
    assert epochs(DeviceLoader(images, 7, seed=3), 3) == first
    assert epochs(DeviceLoader(images, 7, seed=4), 3) != first
    assert first[0] != first[1]
    assert first[1] != first[2]
    assert first[0] != list(range(40))


def rest(loader):
    """What is still to come of this epoch and the next one."""
    return [(x, y) for _ in range(2) for x, y in loader]


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize(("epoch", "served"), [(0, 0), (0, 1), (1, 0), (1, 3), (2, 5)])
def test_it_goes_on_where_the_state_was_taken(numbered, augment, epoch, served):
    images = numbered(26, size=8)
    loader = DeviceLoader(images, 5, seed=1, augment=augment)
    epochs(loader, epoch)
    for _, _batch in zip(range(served), loader, strict=False):
        pass
    state = through_a_file(loader.state_dict())
    assert (state["epoch"], state["position"]) == (epoch, served)
    expected = rest(loader)
    resumed = DeviceLoader(images, 5, seed=99, augment=augment)
    next(iter(resumed))
    resumed.load_state_dict(state)
    found = rest(resumed)
    assert len(found) == len(expected) == 12 - served
    for (x, y), (x_expected, y_expected) in zip(found, expected, strict=True):
        assert torch.equal(x, x_expected)
        assert torch.equal(y, y_expected)
    assert resumed.epoch == epoch + 2


def test_augmented_images_move(numbered):
    images = numbered(20, size=8)
    plain, augmented = (next(iter(DeviceLoader(images, 20, augment=augment)))[0] for augment in (False, True))
    assert not torch.equal(plain, augmented)
    assert images.images[7].unique().tolist() == [7]


def test_what_is_refused(numbered):
    with pytest.raises(ValueError, match="batch_size: got 0, expected at least 1"):
        DeviceLoader(numbered(5), 0)
    with pytest.raises(ValueError, match="batch_size 6 leaves no batch of 5 images"):
        DeviceLoader(numbered(5), 6, drop_last=True)
    with pytest.raises(ValueError, match="no batch of 0 images"):
        DeviceLoader(numbered(5).select(torch.tensor([], dtype=torch.int64)), 2)
