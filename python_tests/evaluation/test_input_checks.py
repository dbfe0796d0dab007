# SPDX-License-Identifier: MIT

import warnings

import pytest
import torch
from torch import nn

from yopo_ext.data import ImageSet
from yopo_ext.evaluation import NormalisationWarning, PGDAttack, measure, normalisation_doubt
from yopo_ext.models import Normalize

MEAN, STD = 0.7, 0.1


@pytest.fixture
def pair():
    """Bright images of two classes, and a network that tells them apart when they are normalised."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    level = torch.where(labels == 1, MEAN + STD, MEAN - STD)[:, None, None, None]
    noise = 0.02 * torch.randn(400, 1, 3, 3, generator=generator)
    images = ImageSet(((level + noise).clamp(0, 1) * 255).to(torch.uint8), labels, 2)
    expects_normalised = nn.Sequential(nn.Flatten(), nn.Linear(9, 2, bias=False))
    with torch.no_grad():
        expects_normalised[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 9))
    return expects_normalised, images


def test_a_network_that_expects_normalised_images_is_doubted(pair):
    model, images = pair
    doubt = normalisation_doubt(model, images)
    assert "right on 50.0 % of 400 images in [0, 1], and on 100.0 % when they are normalised" in doubt
    assert "normalisation into the network" in doubt
    with pytest.warns(NormalisationWarning, match="seems to expect normalised images"):
        report = measure(model, images, [])
    assert report.warnings == (doubt,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(model, images, [], check_normalisation=False).warnings == ()
        assert measure(model, images, [PGDAttack(0.1, steps=1)], check_normalisation=False).warnings == ()


def test_a_network_that_normalises_itself_is_not(pair):
    model, images = pair
    inside = nn.Sequential(Normalize([MEAN], [STD]), model)
    assert normalisation_doubt(inside, images) is None
    # Nor one that expects images in [0, 1].
    shifted = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    with torch.no_grad():
        shifted[1].weight.copy_(model[1].weight)
        shifted[1].bias.copy_(torch.tensor([9 * MEAN, -9 * MEAN]))
    assert normalisation_doubt(shifted, images) is None


def test_a_difference_by_chance_is_not_doubted(pair):
    model, images = pair
    # Half of 12 images are right now, all when normalised: 50 points, and less than three deviations.
    assert normalisation_doubt(model, images.take(12)) is None
    assert normalisation_doubt(model, images.take(40)) is not None
    assert normalisation_doubt(model, images.take(2).shard(2, 3)) is None
    flat = ImageSet(torch.full_like(images.images, 9), images.labels, 2)
    assert normalisation_doubt(model, flat) is None


@pytest.mark.parametrize(("count", "doubted"), [(15, False), (25, True)])
def test_less_than_five_points_are_not_doubted(count, doubted):
    """Of 400 images so many are right only when normalised: beyond chance either way."""
    labels = torch.arange(400) % 2
    level = torch.where(labels == 1, 0.9, 0.1)
    level[:count], labels[:count] = 0.55, 0
    images = ImageSet((level * 255).to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous(), labels, 2)
    threshold = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        threshold[1].weight.copy_(torch.tensor([[-0.25], [0.25]]).expand(2, 4))
        threshold[1].bias.copy_(torch.tensor([0.5, -0.5]))
    assert (normalisation_doubt(threshold, images) is not None) == doubted


def test_images_outside_the_bounds(pair):
    model, images = pair
    with pytest.raises(ValueError, match=r"bounds: got \(0.0, 0.5\), expected to hold the images, which run from 0.5"):
        measure(model, images, [PGDAttack(0.1, bounds=(0.0, 0.5))], check_normalisation=False)
    report = measure(model, images, [PGDAttack(0.1, bounds=None)], check_normalisation=False)
    assert report.clean == 50
