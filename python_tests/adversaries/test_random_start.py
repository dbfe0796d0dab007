# SPDX-License-Identifier: MIT

import pytest
import torch

from yopo_ext.adversaries import random_start


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_linf_is_uniform_in_the_ball():
    x = torch.full((40, 3, 16, 16), 0.5)
    eps = torch.tensor([0.1, 0.2, 0.4])
    eta = random_start(x, eps=eps, generator=seeded())
    assert (eta.abs() <= eps.reshape(1, -1, 1, 1)).all()
    scaled = (eta / eps.reshape(1, -1, 1, 1)).transpose(0, 1).flatten(1)
    quantiles = torch.quantile(scaled, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1)
    expected = torch.tensor([-0.9, -0.5, 0.0, 0.5, 0.9]).unsqueeze(1).expand(5, 3)
    torch.testing.assert_close(quantiles, expected, rtol=0, atol=0.03)


def test_l2_is_uniform_in_the_ball():
    x = torch.zeros(4000, 1, 1, 3)
    eta = random_start(x, eps=2.0, bounds=None, norm="l2", generator=seeded()).flatten(1)
    radius = eta.norm(dim=1)
    assert radius.max() <= 2.0 * (1 + 1e-6)
    # Half of a ball's volume in three dimensions lies within 2^(-1/3) of its radius.
    assert abs((radius < 2.0 * 0.5 ** (1 / 3)).float().mean() - 0.5) < 0.03
    assert eta.mean(0).abs().max() < 0.05


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_box_holds(norm):
    x = torch.rand(8, 3, 5, 5, generator=seeded())
    eta = random_start(x, eps=0.7, norm=norm, generator=seeded())
    assert (x + eta).min() >= -1e-7
    assert (x + eta).max() <= 1 + 1e-7
    assert not eta.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_generator_decides(norm):
    x = torch.rand(2, 3, 5, 5)
    one, same, other = (random_start(x, eps=0.1, norm=norm, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 1, 1)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_small_batches(shape, norm):
    assert random_start(torch.zeros(shape), eps=0.1, norm=norm).shape == shape
    assert (random_start(torch.zeros(shape), eps=0.0, norm=norm) == 0).all()


def test_the_memory_format_stays():
    x = torch.rand(2, 3, 5, 5).to(memory_format=torch.channels_last)
    assert random_start(x, eps=0.1).is_contiguous(memory_format=torch.channels_last)
