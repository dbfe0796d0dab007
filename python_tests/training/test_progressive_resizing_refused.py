# SPDX-License-Identifier: MIT
"""Small images first: settings, images and networks that do not go together with them."""

import re

import any_size_net
import pytest
import torch
from growing_runs import growing

from yopo_ext.data import Dataset, ImageSet
from yopo_ext.training import Run, change_config

REFUSED = {
    "progressive_epochs: got (1,) with progressive_sizes (), expected progressive_sizes too": {
        "progressive_epochs": (1,)
    },
    "progressive_epochs: got none for the sizes 4, expected one number a size": {"progressive_sizes": (4,)},
    "progressive_epochs: got 1 for the sizes 4 6, expected": {"progressive_sizes": (4, 6), "progressive_epochs": (1,)},
    "progressive_sizes: got 6 4, expected one or several, each above the one before": {
        "progressive_sizes": (6, 4), "progressive_epochs": (1, 1),
    },
    "progressive_epochs: got 1 2, 3 in all, expected an end before the 3 epochs do": {
        "progressive_sizes": (4, 6), "progressive_epochs": (1, 2),
    },
    "progressive_sizes: got (0,), expected": {"progressive_sizes": (0,), "progressive_epochs": (1,)},
    "progressive_sizes: got norm l2, expected linf": {
        "progressive_sizes": (4,), "progressive_epochs": (1,), "norm": "l2",
    },
    "progressive_sizes: got start previous-epoch, which may remember perturbations of one size, expected one of u": {
        "progressive_sizes": (4,), "progressive_epochs": (1,), "start": "previous-epoch",
    },
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_settings_that_do_not_go_together_are_refused(runs, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        change_config(runs.config, **{"method": "fast", "model": any_size_net.NAME, **REFUSED[text]})


def test_images_and_networks_that_cannot_shrink_are_refused_before_the_folder_is_made(runs):
    config = growing(runs)
    with pytest.raises(ValueError, match="progressive_sizes: network digits-cnn does not take images of 4 x 4 pixels"):
        runs.run("run", change_config(config, model="digits-cnn"))
    with pytest.raises(ValueError, match="progressive_sizes: got 9 for images of 8 x 8 pixels, expected less"):
        runs.run("run", change_config(config, progressive_sizes=(4, 9)))
    pixels = torch.zeros(16, 1, 8, 12, dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(16) % 10, 10)
    with pytest.raises(ValueError, match="progressive_sizes: got 6 for images of 1 x 8 x 12, expected square ones"):
        Run(config, runs.root / "run", Dataset("wide", images, images), show=False)
    # On one pixel batch norm has one value of the image that is left alone.
    config = change_config(config, progressive_sizes=(1,), progressive_epochs=(1,), limit_train=33)
    with pytest.raises(ValueError, match=r"33 mod 16 = 1 leaves one image .* cannot be trained at 1 x 1 pixels; exp"):
        runs.run("run", config)
    assert not (runs.root / "run").exists()


@pytest.mark.parametrize("error", [AssertionError, ValueError, TypeError, RuntimeError])
def test_networks_refuse_a_size_in_many_ways(runs, monkeypatch, error):
    forward = any_size_net.AnySizeNet.forward

    def strict(self, x):
        if x.shape[-1] != 8:
            raise error("made for 8")
        return forward(self, x)

    monkeypatch.setattr(any_size_net.AnySizeNet, "forward", strict)
    text = r"progressive_sizes: network any-size-net does not take images of 4 x 4 pixels \(made for 8\)"
    with pytest.raises(ValueError, match=text):
        runs.run("run", growing(runs))
