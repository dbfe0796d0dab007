# SPDX-License-Identifier: MIT
"""MMC, MMLDA and g-SCE against their formulas, written out on features and centres."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from yopo_ext.models import CentreScores, max_mahalanobis_centres
from yopo_ext.objectives import GSCE, MMC, MMLDA

CLASSES, FEATURES = 5, 7


@pytest.fixture(params=["max-mahalanobis", "others"])
def centres(request):
    if request.param == "others":  # no two of one length
        return torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return max_mahalanobis_centres(CLASSES, FEATURES, norm=2.0).double()


@pytest.fixture
def z():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(6, FEATURES, generator=generator, dtype=torch.float64).requires_grad_()


Y = torch.tensor([0, 1, 2, 3, 4, 0])


def literal_mmc(z, centres, y):
    return sum(0.5 * ((one - centres[label]) ** 2).sum() for one, label in zip(z, y, strict=True)) / len(y)


def literal_mmlda(z, centres, y):
    total = 0.0
    for one, label in zip(z, y, strict=True):
        densities = [torch.exp(-((one - mu) ** 2).sum() / 2) for mu in centres]
        total = total - torch.log(densities[label] / sum(densities))
    return total / len(y)


def literal_g_sce(z, centres, y, sigma, offset):
    total = 0.0
    for one, label in zip(z, y, strict=True):
        h = [
            -(one - mu) @ (s * torch.eye(FEATURES, dtype=torch.float64)) @ (one - mu) + b
            for mu, s, b in zip(centres, sigma, offset, strict=True)
        ]
        total = total - torch.log(h[label].exp() / sum(value.exp() for value in h))
    return total / len(y)


SIGMA, OFFSET = (0.1, 0.2, 0.3, 0.4, 0.5), (0.5, -1.0, 0.0, 2.0, 1.0)
FORMULAS = {
    "mmc": (MMC(), literal_mmc),
    "mmlda": (MMLDA(), literal_mmlda),
    "g-sce": (GSCE(SIGMA, OFFSET), lambda z, centres, y: literal_g_sce(z, centres, y, SIGMA, OFFSET)),
    "g-sce, one value": (
        GSCE((0.3,), (1.0,)), lambda z, centres, y: literal_g_sce(z, centres, y, [0.3] * CLASSES, [1.0] * CLASSES)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_are_the_formula_s(name, centres, z):
    objective, literal = FORMULAS[name]
    expected = literal(z, centres, Y)
    gradient = torch.autograd.grad(expected, z)[0]
    for ask in (objective.attack, objective.train):
        found = ask(CentreScores(centres)(z), Y)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, z)[0], gradient)
    assert not objective.needs_clean


def test_mmlda_is_cross_entropy_of_z_times_mu_and_predicts_its_largest(z):
    centres = max_mahalanobis_centres(CLASSES, FEATURES, norm=2.0).double()
    outputs, products = CentreScores(centres)(z), z @ centres.T
    torch.testing.assert_close(MMLDA().attack(outputs, Y), cross_entropy(products, Y))
    smooth = cross_entropy(products, Y, label_smoothing=0.2)
    torch.testing.assert_close(MMLDA(label_smoothing=0.2).attack(outputs, Y), smooth)
    for objective in (MMC(), MMLDA(), GSCE()):
        assert torch.equal(objective.predict(outputs), products.argmax(1))
        assert torch.equal(objective.logits(outputs).argmax(1), products.argmax(1))


def test_g_sce_predicts_by_its_own_scores(z):
    outputs = CentreScores(max_mahalanobis_centres(CLASSES, FEATURES, norm=2.0).double())(z)
    favoured = GSCE(offset=(0.0, 0.0, 100.0, 0.0, 0.0))
    assert (favoured.predict(outputs) == 2).all()
    assert torch.equal(GSCE().logits(outputs), outputs)  # MMLDA


def test_softmax_cross_entropy_is_of_the_family(z):
    """Wz + b has centres ½W_k, σ = 1 and B_k = b_k + ¼‖W_k‖² (Pang et al. 2020, section 3.1)."""
    torch.manual_seed(0)
    linear = nn.Linear(FEATURES, CLASSES).double()
    offset = linear.bias + linear.weight.square().sum(1) / 4
    objective = GSCE((1.0,), tuple(offset.tolist()))
    found = objective.attack(CentreScores(linear.weight / 2)(z), Y)
    torch.testing.assert_close(found, cross_entropy(linear(z), Y))


def test_mixed_targets_lead_to_mixed_centres(z):
    centres = max_mahalanobis_centres(CLASSES, FEATURES, norm=2.0).double()
    outputs = CentreScores(centres)(z)
    shares = torch.rand(6, CLASSES, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shares /= shares.sum(1, keepdim=True)
    expected = (z - shares @ centres) / len(z)
    torch.testing.assert_close(torch.autograd.grad(MMC().train(outputs, shares), z)[0], expected)
    hard = one_hot(Y, CLASSES).double()
    torch.testing.assert_close(MMC().train(outputs, hard), MMC().train(outputs, Y))
    torch.testing.assert_close(MMLDA().train(outputs, shares), cross_entropy(outputs, shares))


@pytest.mark.parametrize("objective", [MMC(), MMLDA(), GSCE()], ids=str)
def test_logits_of_a_network_without_centres_are_refused(objective):
    with pytest.raises(ValueError, match=r"^outputs: got 2, expected −½‖z − μ_k‖², which is never above 0"):
        objective.attack(torch.tensor([[2.0, -1.0]]), torch.tensor([0]))
    at_a_centre = CentreScores(max_mahalanobis_centres(3, 9, norm=100.0))(max_mahalanobis_centres(3, 9, norm=100.0))
    assert math.isfinite(objective.attack(at_a_centre, torch.arange(3)))  # a distance of 0, rounded


def test_values_of_g_sce_fit_the_classes():
    outputs = -torch.rand(2, 4)
    with pytest.raises(ValueError, match=r"^sigma: got 3 values, expected one, or 4, one a class"):
        GSCE((1.0, 1.0, 1.0)).predict(outputs)
    with pytest.raises(ValueError, match="offset: got none"):
        GSCE(offset=())
    with pytest.raises(ValueError, match=r"sigma: got \(0.0,\)"):
        GSCE((0.0,))
