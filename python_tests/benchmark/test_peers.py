# SPDX-License-Identifier: MIT
"""bench/peers.py: all that is timed as a step of training trains, and knows which peers are there."""

import peers
import pytest
import torch

from yopo_ext.models import SmallCNN


@pytest.mark.parametrize("method", peers.STEPS_OF_TRAINING)
def test_the_steps_of_training_move_the_weights_and_stay_finite(method):
    model = SmallCNN()
    torch.nn.init.normal_(model.classifier[-1].weight, std=0.05)
    for name, (peer, make) in peers.STEPS_OF_TRAINING[method].items():
        if peer is None:
            training = peers.Training(model, images=4)
            make(training)()
            first = training.model.first_layer[0].weight
            assert torch.isfinite(first).all(), name
            assert not torch.equal(first, model.first_layer[0].weight), name


def test_a_peer_that_is_not_installed_is_listed():
    assert set(peers.versions()) == set(peers.PEERS)
    assert peers.versions()["MAIR"] is None
