# SPDX-License-Identifier: MIT
"""Centres against their algorithm written out, scores against distances, and heads on networks."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from torch import nn

from yopo_ext import YOPO, find_first_layer
from yopo_ext.models import (
    HEADS,
    CentreScores,
    CentresWarning,
    DigitsCNN,
    attach_scores,
    build_model,
    load_weights,
    max_mahalanobis_centres,
)
from yopo_ext.models.heads.max_mahalanobis import CentreOptions
from yopo_ext.models.heads.spread import largest_cosine, spread_directions
from yopo_ext.models.stored_scores import stored_scores
from yopo_ext.objectives import MMC


def literal_centres(classes, features, norm):
    """Algorithm 1 of Pang et al. (ICML 2018), an entry at a time."""
    mu = torch.zeros(classes, max(features, classes), dtype=torch.float64)
    mu[0, 0] = 1.0
    for k in range(1, classes):
        for j in range(k):
            mu[k, j] = -(1 / (classes - 1) + mu[k] @ mu[j]) / mu[j, j]
        mu[k, k] = (1 - mu[k].square().sum()).clamp(min=0).sqrt()
    return norm * mu[:, :features]


@pytest.mark.parametrize(
    ("classes", "features"), [(10, 256), (10, 9), (10, 10), (2, 1), (2, 5), (3, 2), (100, 99), (37, 40)]
)
def test_centres_are_those_of_the_algorithm_and_as_far_apart_as_can_be(classes, features):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = max_mahalanobis_centres(classes, features, norm=7.0)
    torch.testing.assert_close(found.double(), literal_centres(classes, features, 7.0), atol=1e-5, rtol=0)
    products = found.double() @ found.double().T
    expected = torch.full((classes, classes), -49.0 / (classes - 1), dtype=torch.float64).fill_diagonal_(49.0)
    torch.testing.assert_close(products, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("classes", "features", "cosine"),
    [(4, 2, 0.0), (5, 2, math.cos(2 * math.pi / 5)), (6, 3, 0.0), (12, 3, 1 / math.sqrt(5)), (8, 4, 0.0)],
)  # square, pentagon, octahedron, icosahedron, cross polytope
def test_with_too_few_features_centres_are_spread_and_it_is_said(classes, features, cosine):
    with pytest.warns(CentresWarning, match=rf"{features} features are fewer than the {classes - 1} that {classes}"):
        found = max_mahalanobis_centres(classes, features)
    torch.testing.assert_close(found.norm(dim=1), torch.full((classes,), 10.0))
    assert largest_cosine(found.double() / 10) == pytest.approx(cosine, abs=1e-3)
    again = spread_directions.__wrapped__(classes, features)
    assert torch.equal((10 * again).float(), found)


def test_centres_that_would_coincide_are_refused():
    for classes, features in ((3, 1), (10, 1)):
        with pytest.raises(ValueError, match=rf"^feature_dim: got 1 for {classes} classes, expected at least 2"):
            max_mahalanobis_centres(classes, features)
    with pytest.raises(ValueError, match="classes: got 1, expected at least 2"):
        max_mahalanobis_centres(1, 4)
    with pytest.raises(ValueError, match=r"norm: got 0.0, expected a length above 0"):
        max_mahalanobis_centres(3, 4, norm=0.0)


def test_scores_are_half_squared_distances():
    centres, z = torch.randn(4, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    expected = torch.stack([torch.stack([-0.5 * ((row - mu) ** 2).sum() for mu in centres]) for row in z])
    torch.testing.assert_close(CentreScores(centres)(z), expected)
    assert CentreScores(centres.float())(z.half().float().half()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        found = CentreScores(centres.float())(z.bfloat16())
    torch.testing.assert_close(found, CentreScores(centres.float())(z.bfloat16().float()), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"features: got shape \(5, 4\), expected \(B, 6\)"):
        CentreScores(centres)(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"centres: got torch.float32 of shape \(1, 3\)"):
        CentreScores(torch.zeros(1, 3))


def digits_with_centres(features=12):
    torch.manual_seed(0)
    return attach_scores(DigitsCNN(1, features), CentreScores(max_mahalanobis_centres(10, features)))


def test_a_network_ends_in_its_scores_wherever_it_is_copied_to():
    x, network = torch.rand(3, 1, 8, 8), digits_with_centres()
    torch.manual_seed(0)
    plain = DigitsCNN(1, 12)
    expected = CentreScores(max_mahalanobis_centres(10, 12))(plain(x))
    for one in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(one(x), expected)
    assert [key for key in network.state_dict() if key not in plain.state_dict()] == ["scores.centres"]
    assert network.first_layer == (network.features.conv1, network.features.relu1)
    assert not network.scores.centres.requires_grad
    with pytest.raises(ValueError, match="DigitsCNN has an attribute 'scores'"):
        attach_scores(network, CentreScores(torch.eye(2)))
    with pytest.raises(ValueError, match=r"network: got an nn.Sequential"):
        attach_scores(nn.Sequential(nn.Linear(2, 2)), CentreScores(torch.eye(2)))


def test_the_first_layer_is_found_and_yopo_climbs_through_the_scores():
    network, x = digits_with_centres().train(), torch.rand(4, 1, 8, 8)
    assert find_first_layer(network, x).modules == network.first_layer
    yopo = YOPO(network, network.first_layer, 2, 3, 0.1, 0.05, loss=MMC())
    with torch.no_grad():
        clean = network(x)
    found = yopo.accumulate(x, clean.argmax(1))  # its first batch is checked against the network's own gradient
    assert float(found["loss"]) > float(MMC().attack(clean, clean.argmax(1)))
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_weights_bring_their_centres(tmp_path):
    network, file = digits_with_centres(), tmp_path / "w.pt"
    torch.save({"module." + key: value for key, value in network.state_dict().items()}, file)
    scores = stored_scores(file, 10)
    read = attach_scores(build_model("digits-cnn", in_channels=1, num_classes=12), scores)
    load_weights(read, file)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(read(x), network(x))
    with pytest.raises(ValueError, match=r"scores.centres are the centres of 10 classes, expected 7"):
        stored_scores(file, 7)
    torch.save(DigitsCNN().state_dict(), file)
    assert stored_scores(file, 10) is None


def test_random_centres_are_of_one_length_and_drawn_from_the_global_generator():
    head, options = HEADS["random-centres"], CentreOptions(5, 3.0)
    torch.manual_seed(1)
    one = head.build(4, options).centres
    torch.testing.assert_close(one.norm(dim=1), torch.full((4,), 3.0))
    assert not torch.equal(one, head.build(4, options).centres)
    torch.manual_seed(1)
    assert torch.equal(one, head.build(4, options).centres)


@pytest.mark.parametrize("name", HEADS.names)
def test_every_head_makes_scores_of_what_it_asks_for(name):
    head = HEADS[name]
    outputs, scores = head.outputs(7, head.options()), head.build(7, head.options())
    z = torch.randn(3, outputs)
    found = z if scores is None else scores(z)
    assert found.shape == (3, 7)
    assert head.distances == bool((found <= 0).all())


def test_library_networks_end_in_scores():
    pytest.importorskip("timm", reason="timm does not import beside every torch")
    for name, channels in (("timm:resnet18", 1), ("torchvision:resnet18", 3)):
        network = build_model(name, in_channels=channels, num_classes=16, image_size=32)
        attach_scores(network, CentreScores(max_mahalanobis_centres(4, 16))).eval()
        x = torch.rand(2, channels, 32, 32)
        assert network(x).shape == (2, 4)
        assert find_first_layer(network, x).modules
