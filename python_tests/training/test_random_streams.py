# SPDX-License-Identifier: MIT
"""What a run draws, each purpose from a stream of its own, and nothing from its surroundings."""

import torch
from same_runs import assert_equal, everything

from yopo_ext.training import StopRequest


def test_initial_weights_and_the_first_noise_are_independent(runs):
    trainer = runs.trainer(eps=0.1)
    weights = trainer.model.features.conv1.weight.detach().flatten()
    noise = torch.empty(len(weights)).uniform_(-1, 1, generator=trainer.generator)
    assert abs(torch.corrcoef(torch.stack((weights, noise)))[0, 1]) < 0.3
    orders = trainer.loader.state_dict()["order_rng"]
    states = [orders, trainer.loader.state_dict()["augmentation_rng"], trainer.generator.get_state()]
    states.append(trainer.noise.state_dict()["cpu"])
    assert len({bytes(state.numpy()) for state in states}) == 4


def test_building_resuming_and_fitting_leave_the_global_generator_alone(runs):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    runs.interrupted("run", runs.config, 5)
    assert torch.equal(torch.get_rng_state(), before)
    trainer = runs.trainer("run")
    trainer.resume()
    assert torch.equal(torch.get_rng_state(), before)
    trainer.fit(StopRequest())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_drawn_around_a_run_changes_nothing(runs):
    config = {"model": "smallcnn", "epochs": 1, "limit_train": 24, "batch_size": 6}  # with dropout
    first = runs.trainer("first", **config)
    first.fit(StopRequest())
    torch.manual_seed(4)
    second = runs.trainer("second", **config)
    torch.rand(3)
    second.fit(StopRequest())
    assert_equal(everything(second), everything(first))
    fresh = runs.trainer("third", **config).noise.state_dict()
    assert not torch.equal(fresh["cpu"], second.noise.state_dict()["cpu"])
