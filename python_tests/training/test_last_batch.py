# SPDX-License-Identifier: MIT

from dataclasses import replace

import pytest
import torch

from yopo_ext.data import Dataset, ImageSet
from yopo_ext.training import Processes, StopRequest, Trainer, make_config
from yopo_ext.training.last_batch import check_last_batch
from yopo_ext.training.networks import make_model

CONFIG = make_config(model="preactresnet18", method="natural", batch_size=16, epochs=1, curve_images=4, curve_steps=1)


def images(count, size=8):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, size, size), generator=generator).to(torch.uint8)
    part = ImageSet(pixels, torch.arange(count) % 10, 10)
    return Dataset("digits", part, part.take(4))


def check(config, count, processes=1, size=8):
    data = images(count, size)
    check_last_batch(config, make_model(config, data), data.train, processes)


def test_one_image_left_alone_is_named_before_work_starts(tmp_path):
    torch.manual_seed(2)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"batch_size: got 16 for 17 images, 17 mod 16 = 1 leaves .* --drop-last"):
        Trainer(CONFIG, images(17), tmp_path, show=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "count", "processes", "message"),
    [
        ({"batch_size": 1}, 6, 1, "batch_size: got 1 for 6 images, mini-batches of 1"),
        ({}, 18, 2, "18 mod 16 = 2 on 2 processes leaves"),
        ({}, 19, 2, "19 mod 16 = 3 on 2 processes leaves"),
        ({"drop_last": True, "batch_size": 3}, 9, 2, "mini-batches of 3 on 2 processes"),
    ],
)
def test_every_way_to_be_alone(change, count, processes, message):
    with pytest.raises(ValueError, match=message):
        check(replace(CONFIG, **change), count, processes)


def test_what_can_be_trained_is_not_refused():
    check(CONFIG, 18)
    check(CONFIG, 16)
    check(replace(CONFIG, drop_last=True), 17)
    check(CONFIG, 17, size=16)  # its last batch norm sees 2x2 values a channel
    check(replace(CONFIG, model="digits-cnn"), 17)


def test_drop_last_leaves_it_out(tmp_path):
    config = replace(CONFIG, model="digits-cnn", drop_last=True)
    trainer = Trainer(config, images(17), tmp_path, processes=Processes(), show=False)
    trainer.fit(StopRequest())
    assert (len(trainer.loader), trainer.loader.drop_last) == (1, True)
