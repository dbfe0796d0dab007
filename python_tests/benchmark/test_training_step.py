# SPDX-License-Identifier: MIT
"""bench/training_step.py: both contenders make a step, and ours says where its time went."""

from __future__ import annotations

import pytest
import training_step

from yopo_ext.training import make_config


@pytest.mark.parametrize("who", ["published", "ours"])
def test_a_contender_makes_its_steps(who):
    settings = training_step.SETTINGS["smallcnn"] | {"batch_size": 4, "m": 1, "n": 2}
    config = make_config(model="smallcnn", reduction="sum", first_layer_grad="both", **settings)
    found = training_step.run(config, who, 2)
    assert len(found["seconds"]) == 2
    assert set(found["spans"]) == ({"passes", "inner", "optimizer"} if who == "ours" else set())


def test_the_published_step_and_ours_train_on_the_same_images():
    config = make_config(model="smallcnn", batch_size=4)
    one, other = (training_step.random_images(config).train.images for _ in range(2))
    assert one.shape == (4, 1, 28, 28)
    assert (one == other).all()
