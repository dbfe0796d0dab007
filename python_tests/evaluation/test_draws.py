# SPDX-License-Identifier: MIT

import math

import pytest
import torch

from yopo_ext.evaluation.draws import image_keys, uniform, uniform_in_ball


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (400, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def splitmix64(state):
    """The published algorithm in Python's integers: the next number and state."""
    mask = (1 << 64) - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)), state


def test_the_numbers_are_splitmix64s():
    keys = torch.tensor([0, 1234567, -1])
    found = uniform(keys, 5)
    assert splitmix64(1234567)[0] == 6457827717110365317  # the published test vector
    for row, key in enumerate(keys.tolist()):
        state = key % (1 << 64)
        for column in range(5):
            value, state = splitmix64(state)
            assert found[row, column] == (value >> 40) * 2.0**-24


def test_an_images_numbers_are_its_own(pixels):
    keys = image_keys(pixels, 3, 1)
    assert len(keys.unique()) == len(keys)
    order = torch.randperm(400)
    assert torch.equal(image_keys(pixels[order], 3, 1), keys[order])
    assert torch.equal(image_keys(pixels[17:18], 3, 1), keys[17:18])
    changed = pixels.clone()
    changed[:, 0, 4, 4] ^= 1
    for other in (
        image_keys(pixels, 4, 1),
        image_keys(pixels, 3, 2),
        image_keys(pixels, 3, -1),
        image_keys(changed, 3, 1),
    ):
        assert not (other == keys).any()
    # Two pixels swapped are another image.
    assert not (image_keys(pixels.flip(-1), 3, 1) == keys).any()


def test_seeds_may_be_large(pixels):
    keys = [image_keys(pixels, seed, 0) for seed in (0, -1, 2**63, 2**64 - 2)]
    assert all(not torch.equal(first, second) for i, first in enumerate(keys) for second in keys[:i])


def test_linf_starts_are_uniform_in_the_ball(pixels):
    noise = uniform_in_ball(image_keys(pixels, 0, 0), pixels.shape, 0.3, "linf").flatten()
    assert noise.abs().max() <= 0.3
    count = len(noise)
    shares = torch.histc(noise, bins=20, min=-0.3, max=0.3) / count
    deviation = math.sqrt(0.05 * 0.95 / count)
    assert ((shares - 0.05).abs() < 4 * deviation).all()
    other = uniform_in_ball(image_keys(pixels, 0, 1), pixels.shape, 0.3, "linf").flatten()
    assert abs(torch.corrcoef(torch.stack([noise, other]))[0, 1]) < 4 / math.sqrt(count)
    neighbours = torch.corrcoef(torch.stack([noise[1:], noise[:-1]]))[0, 1]
    assert abs(neighbours) < 4 / math.sqrt(count)


def test_l2_starts_are_uniform_in_the_ball():
    pixels = torch.arange(4000).reshape(-1, 1, 1, 1).expand(-1, 1, 1, 3)
    pixels = torch.stack([pixels[..., 0] % 256, pixels[..., 0] // 256, pixels[..., 0] * 0], -1).to(torch.uint8)
    noise = uniform_in_ball(image_keys(pixels, 0, 0), pixels.shape, 2.0, "l2").flatten(1)
    radius = noise.norm(dim=1)
    assert radius.max() <= 2.0 + 1e-6
    # In three dimensions (r/eps)³ is uniform, and so is each coordinate of the direction.
    for values in ((radius / 2) ** 3, (noise / radius[:, None])[:, 0] / 2 + 0.5):
        shares = torch.histc(values, bins=10, min=0, max=1) / len(values)
        assert ((shares - 0.1).abs() < 4 * math.sqrt(0.09 / len(values))).all()
    assert noise.mean(0).abs().max() < 4 * 2 / math.sqrt(len(noise))
