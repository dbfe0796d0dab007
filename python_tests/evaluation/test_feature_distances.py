# SPDX-License-Identifier: MIT
"""Distances of features to centres, and the density at them: against loops, and against a density that is known."""

import math

import pytest
import torch
from torch import nn

from yopo_ext.evaluation import AutoAttack, FeatureDistances, PGDAttack, feature_distances, plot_distances
from yopo_ext.evaluation.feature_distances import class_means, log_density
from yopo_ext.models import CentreScores, DigitsCNN, Ensemble, attach_scores
from yopo_ext.objectives import AdaptiveDiversity


def network(centres=None):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 4)]
    return nn.Sequential(*layers, *([] if centres is None else [CentreScores(centres)]))


X, Y = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
CENTRES = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))


def test_distances_to_the_network_s_centres_clean_and_attacked():
    model, attack = network(CENTRES), PGDAttack(0.2, steps=3, loss="objective")
    found = feature_distances(model, (X, Y), attack, batch_size=5)
    pairs = [(CENTRES[i] - CENTRES[j]).double().square().sum() for i in range(3) for j in range(i)]
    unit = math.sqrt(sum(pairs) / 3)
    with torch.no_grad():
        z = model[:4](X).double()
    for row, label, own, other in zip(z, Y, found.own, found.other, strict=True):
        distances = [float((row - mu).norm()) / unit for mu in CENTRES.double()]
        assert own == pytest.approx(distances.pop(label))
        assert other == pytest.approx(min(distances))
    right = model(X).argmax(1) == Y
    assert torch.equal(found.attacked_own[~right], found.own[~right])
    assert right.any()
    assert (found.attacked_own[right] > found.own[right]).all()
    assert (found.dimensions, found.attack, found.own_centres) == (4, attack.label, True)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_without_centres_they_are_the_means_of_the_last_layer_s_inputs():
    model = network()
    found = feature_distances(model, (X, Y))
    with torch.no_grad():
        z = model[:3](X).double()
    means = torch.stack([z[label == Y].mean(0) for label in range(3)])
    unit = float(torch.pdist(means).square().mean().sqrt())
    expected = torch.stack([(row - means[label]).norm() / unit for row, label in zip(z, Y, strict=True)])
    torch.testing.assert_close(found.own, expected)
    assert (found.attacked_own, found.own_centres, found.dimensions) == (None, False, 6)


@pytest.mark.parametrize("own_centres", [True, False])
def test_an_ensemble_has_the_features_and_centres_of_all_its_members_side_by_side(own_centres):
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    centres = [torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)) for seed in (4, 5)]
    members = [DigitsCNN(num_classes=4 if own_centres else 3) for _ in range(2)]
    last = [network.linear if hasattr(network, "linear") else network.classifier[-1] for network in members]
    seen = []
    hooks = [one.register_forward_hook(lambda _, args, out: seen.append((args[0], out))) for one in last]
    if own_centres:
        members = [attach_scores(one, CentreScores(mu)) for one, mu in zip(members, centres, strict=True)]
    ensemble = Ensemble(members).eval()
    with torch.no_grad():
        ensemble(x)
    z = torch.cat([pair[own_centres] for pair in seen], 1).double()
    for hook in hooks:
        hook.remove()
    found = feature_distances(ensemble, (x, Y), objective=AdaptiveDiversity())
    mu = torch.cat(centres, 1).double() if own_centres else class_means(z, Y)
    apart = torch.cdist(z, mu) / torch.pdist(mu).square().mean().sqrt()
    torch.testing.assert_close(found.own, apart[torch.arange(12), Y], rtol=1e-5, atol=1e-6)
    assert (found.dimensions, found.own_centres) == (z.shape[1], own_centres)


def test_scale_of_the_features_plays_no_part():
    one, scaled = (feature_distances(model, (X, Y)) for model in (network(), network()))
    larger = network()
    with torch.no_grad():
        larger[2] = nn.Sequential(nn.Tanh(), nn.Linear(6, 6, bias=False))
        larger[2][1].weight.copy_(1000 * torch.eye(6))
    scaled = feature_distances(larger, (X, Y))
    torch.testing.assert_close(scaled.own, one.own)
    torch.testing.assert_close(scaled.log_density, one.log_density)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_density_is_points_per_volume(dimensions):
    """Uniform in a cube of side 2, so that it is known: a third of the points have another label."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(3000, dimensions, generator=generator, dtype=torch.float64)
    y = (torch.arange(3000) % 3 == 0).long()
    inside = ((z - 1).abs() < 0.6).all(1) & (y == 0)
    found = 10 ** (dimensions * log_density(z, y, neighbours=40))
    assert float(found[inside].median()) == pytest.approx(2000 / 2**dimensions, rel=0.08)


def test_literal_equation_2():
    z, y = torch.randn(7, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64), torch.zeros(7).long()
    radii = [sorted(float((a - b).norm()) for b in z)[3] for a in z]  # itself is the first
    expected = [math.log10(3 / (math.pi * radius**2)) / 2 for radius in radii]
    assert log_density(z, y, neighbours=3).tolist() == pytest.approx(expected)


def test_classes_of_few_or_equal_features():
    z = torch.tensor([[0.0, 1.0], [0.0, 1.0], [5.0, 5.0]], dtype=torch.float64)
    density = log_density(z, torch.tensor([0, 0, 2]))
    assert density[:2].tolist() == [math.inf, math.inf]
    assert density[2].isnan()
    means = class_means(z, torch.tensor([0, 0, 2]))
    assert means[1].isnan().all()
    images = torch.cat([X[:2], X[5:6]])
    found = feature_distances(network(), (images, torch.tensor([0, 0, 2])))
    assert found.own.isfinite().all()
    assert found.to_dict()["medians"]["own"] is not None


def test_bad_input():
    with pytest.raises(ValueError, match=r"the network calls no CentreScores and no nn\.Linear"):
        feature_distances(nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten()), (X, Y))
    with pytest.raises(ValueError, match="images: got none"):
        feature_distances(network(CENTRES), (X[:0], Y[:0]))
    with pytest.raises(TypeError, match="attacks: got"):
        feature_distances(network(CENTRES), (X, Y), AutoAttack)


def test_the_picture(tmp_path):
    found = feature_distances(network(CENTRES), (X, Y), PGDAttack(0.1, steps=1))
    plain = FeatureDistances(found.own, found.other, None, None, found.log_density, 4, None, True)
    nowhere = torch.full((3,), math.inf)
    nothing = FeatureDistances(nowhere, nowhere, None, None, nowhere, 4, None, False)
    for name, one in (("both", found), ("clean", plain), ("nothing", nothing)):
        plot_distances(one, tmp_path / f"{name}.png", title="distances")
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert "under PGD-1, ce:" in found.to_table()
    assert "under" not in plain.to_table()
    assert nothing.to_dict()["medians"]["own"] is None
