# SPDX-License-Identifier: MIT

import threading

import pytest
import torch
from image_files import write_image_folder

from yopo_ext.data import StoredLoader, load_dataset
from yopo_ext.data.folder import FolderOptions
from yopo_ext.training import Processes


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = write_image_folder(tmp_path_factory.mktemp("set"), train=12, test=2)
    return load_dataset("folder", root, FolderOptions(image_size=8, decode_workers=0)).train


def taken(loader, batches):
    return [batch for _, batch in zip(range(batches), loader, strict=False)]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(one.x, other.x) and torch.equal(one.y, other.y) and torch.equal(one.index, other.index)
        for one, other in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("augment", [False, True])
def test_every_image_once_an_epoch_in_an_order_of_its_own(images, augment):
    loader = StoredLoader(images, 7, augment=augment)
    epochs = [torch.cat([batch.index for batch in loader]).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert (loader.epoch, loader.position, len(loader)) == (3, 0, 4)


def test_plain_images_are_those_that_are_measured_on(images):
    for batch in StoredLoader(images, 7):
        assert batch.x.dtype == torch.float32
        assert torch.equal((255 * batch.x).round().to(torch.uint8), images.images[batch.index])
        assert torch.equal(batch.y, images.labels[batch.index])
        assert batch.placement is None


def test_augmented_images_are_crops_inside_the_box(images):
    loader = StoredLoader(images, 24, augment=True)
    (first,), (second,) = list(loader), list(loader)
    assert first.x.shape == (24, 3, 8, 8)
    assert 0 <= first.x.min() <= first.x.max() <= 1
    back = second.x[second.index.argsort()], first.x[first.index.argsort()]
    assert not torch.equal(*back)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize(("epoch", "served"), [(0, 0), (0, 1), (1, 3), (2, 4)])
def test_it_goes_on_where_the_state_was_taken(images, augment, epoch, served):
    loader = StoredLoader(images, 5, seed=3, augment=augment)
    for _ in range(epoch):
        list(loader)
    taken(loader, served)
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (epoch, served)
    resumed = StoredLoader(images, 5, seed=99, augment=augment)
    taken(resumed, 2)
    resumed.load_state_dict(state)
    assert same([*loader, *loader], [*resumed, *resumed])


def test_the_seed_decides_and_nothing_else(images):
    def drawn(seed):
        return list(StoredLoader(images, 9, seed=seed, augment=True))

    torch.manual_seed(1)
    first = drawn(0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert same(first, drawn(0))
    assert torch.equal(state, torch.get_rng_state())
    assert not same(first, drawn(1))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_batches_and_read_their_own_rows(images, count, monkeypatch):
    alone = list(StoredLoader(images, 7, augment=True))
    parts = [list(StoredLoader(images, 7, augment=True, rows=Processes(rank, count).rows)) for rank in range(count)]
    for number, batch in enumerate(alone):
        shares = [part[number] for part in parts]
        assert torch.equal(torch.cat([share.index for share in shares]), batch.index)
        assert torch.allclose(torch.cat([share.x for share in shares]), batch.x, atol=1e-6)
        assert [share.rows for share in shares] == [
            (*Processes(rank, count).rows(len(batch)), len(batch)) for rank in range(count)
        ]


def test_a_loop_that_is_left_leaves_no_thread(images):
    before = threading.active_count()
    loader = iter(StoredLoader(images, 2))
    next(loader)
    assert threading.active_count() > before
    loader.close()
    assert threading.active_count() == before


def test_what_cannot_be_read_is_raised_where_the_batch_is_asked_for(images, monkeypatch):
    loader = StoredLoader(images, 5, augment=True)
    monkeypatch.setattr("yopo_ext.data.stored_images.StoredPixels.read_whole", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(iter(loader))


def test_what_is_refused(images):
    with pytest.raises(ValueError, match="batch_size: got 0, expected at least 1"):
        StoredLoader(images, 0)
    with pytest.raises(ValueError, match="batch_size 25 leaves no batch of 24 images"):
        StoredLoader(images, 25, drop_last=True)
    with pytest.raises(ValueError, match="cannot go on with 24 images in batches of 5: it was 23"):
        StoredLoader(images, 5).load_state_dict({"images": 23, "batch_size": 5})
