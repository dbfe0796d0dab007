# SPDX-License-Identifier: MIT
"""Each detector's score against its formula, written out image by image."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from yopo_ext.detectors import (
    DETECTORS,
    Confidence,
    Fitting,
    KernelDensity,
    LocalDimension,
    NonMaximalEntropy,
    features,
)
from yopo_ext.objectives import CrossEntropy, ReverseCrossEntropy

OBJECTIVES = (CrossEntropy(), ReverseCrossEntropy())


def images(count, seed=1):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """The in-place activation would overwrite what a hook saw of the layer before."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.Linear(12, 5))
        self.last = nn.Linear(5, 4)
        with torch.no_grad():  # every class is predicted for some images
            z = self.body(images(100)).tanh()
            self.last.weight.mul_(20)
            self.last.bias.copy_(-self.last.weight @ z.mean(0))

    def forward(self, x):
        return self.last(self.body(x).tanh())


def probabilities(model, objective, x):
    return objective.logits(model(x)).double().softmax(1)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_confidence(objective):
    model, x = Net(), images(20)
    expected = 1 - probabilities(model, objective, x).amax(1)
    torch.testing.assert_close(Confidence(objective).score(model, x).double(), expected, rtol=1e-5, atol=1e-7)


def test_confidence_tells_networks_apart_that_are_all_but_certain():
    score = Confidence(CrossEntropy()).score(nn.Identity(), torch.tensor([[40.0, 0.0, 0.0], [50.0, 0.0, 0.0]]))
    torch.testing.assert_close(score.log(), torch.tensor([-40 + math.log(2), -50 + math.log(2)]))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_non_maximal_entropy(objective):
    model, x = Net(), images(20)
    expected = []
    for row in probabilities(model, objective, x):
        others = [p for i, p in enumerate(row.tolist()) if i != int(row.argmax())]
        others = [p / sum(others) for p in others]
        expected.append(math.log(3) + sum(p * math.log(p) for p in others))
    found = NonMaximalEntropy(objective).score(model, x)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-5)


def test_kernel_density_is_of_the_predicted_class_s_first_features():
    model, known, x = Net(), images(60), images(15, seed=2)
    detector = KernelDensity(CrossEntropy(), bandwidth=0.05, most=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are never predicted
        detector.fit(model, known)
    with torch.no_grad():
        z, seen = model.body(known).tanh().double(), model.body(x).tanh().double()
        labels, predicted = model(known).argmax(1), model(x).argmax(1)
        found = detector.score(model, x)
    assert len(set(predicted.tolist())) >= 3
    assert labels.bincount().amax() > 8
    for index, label in enumerate(predicted.tolist()):
        of_class = z[labels == label][:8]
        density = sum(math.exp(-float((seen[index] - one).square().sum()) / 0.05) for one in of_class) / len(of_class)
        assert float(found[index]) == pytest.approx(-math.log(density), rel=1e-4, abs=1e-4)


def test_kernel_density_of_a_class_that_is_never_predicted():
    model, known = Net(), images(30)
    with torch.no_grad():
        model.last.bias[2] += 1000
    detector = KernelDensity(CrossEntropy())
    with pytest.warns(UserWarning, match=r"none of 30 training images was predicted as class 0, 1, 3; inputs that are"):
        detector.fit(model, known)
    with torch.no_grad():
        usual = detector.score(model, known)
        model.last.bias[2] -= 2000
        strange = detector.score(model, known)
    assert usual.max() < strange.min()
    assert strange.isfinite().all()


def test_densities_that_underflow_keep_their_order():
    detector = KernelDensity(CrossEntropy(), bandwidth=1e-4)
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector.fit(model, torch.tensor([[1.0, 0.0]]))
        near, far = detector.score(model, torch.tensor([[5.0, 0.0], [9.0, 0.0]])).tolist()
    assert near == pytest.approx(16e4)
    assert far == pytest.approx(64e4)


def test_local_dimensions_written_out():
    model, known = Net(), images(60)
    detector = LocalDimension(CrossEntropy(), eps=0.3, neighbours=5, batch=20, seed=3)
    detector.fit(model, known)
    x = images(7, seed=2)
    reference = known[torch.randperm(60, generator=torch.Generator().manual_seed(3))[:20]]

    def layers(batch):
        first = model.body[0](batch)
        second = model.body[3](nn.functional.leaky_relu(first, 0.2).flatten(1))
        return [first.flatten(1).double(), second.double(), model.last(second.float().tanh()).double()]

    with torch.no_grad():
        found = detector._dimensions(model, x)
        for column, (seen, those) in enumerate(zip(layers(x), layers(reference), strict=True)):
            for row in range(7):
                r = sorted(float((seen[row] - one).norm()) for one in those)[:5]
                expected = -1 / (sum(math.log(one / r[-1]) for one in r) / 5)
                assert float(found[row, column]) == pytest.approx(expected, rel=1e-3)


def test_local_dimensions_find_images_far_from_all_known_ones():
    model, known = Net(), 0.1 * images(200)
    detector = LocalDimension(CrossEntropy(), eps=0.5, batch=50)
    detector.fit(model, known)
    assert torch.equal(detector._weights, _refitted(model, known)._weights)
    with torch.no_grad():
        normal, odd = detector.score(model, 0.1 * images(40, 5)), detector.score(model, 0.6 * images(40, 5))
    assert odd.median() > normal.median()


def _refitted(model, known):
    again = LocalDimension(CrossEntropy(), eps=0.5, batch=50)
    again.fit(model, known)
    return again


@pytest.mark.parametrize("kind", list(DETECTORS), ids=lambda kind: kind.name)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_every_detector_scores_each_image_alone_and_can_be_descended(kind, objective):
    model, known, x = Net().eval(), images(150), images(9, seed=2)
    detector = kind.build(Fitting(objective, 0.1), kind.options())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(model, known)
    leaf = x.clone().requires_grad_()
    score = detector.score(model, leaf)
    assert score.shape == (9,)
    (gradient,) = torch.autograd.grad(score.sum(), leaf)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()
    one_by_one = torch.cat([detector.score(model, part) for part in x.split(1)])
    torch.testing.assert_close(score, one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("detector", "count", "message"),
    [
        (KernelDensity(CrossEntropy()), 0, "images: got none to fit K-density on"),
        (LocalDimension(CrossEntropy(), 0.1), 101, r"images: got 101 to fit LID on, expected at least 102"),
    ],
)
def test_too_few_images(detector, count, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(Net(), images(count))


def test_what_was_not_fitted_or_cannot_be_looked_into():
    for detector in (KernelDensity(CrossEntropy()), LocalDimension(CrossEntropy(), 0.1)):
        with pytest.raises(RuntimeError, match="was not fitted"):
            detector.score(Net(), images(2))
    with pytest.raises(ValueError, match=r"calls no nn\.Linear and no nn\.Conv2d"):
        features(nn.Flatten(), CrossEntropy(), images(2))
    with pytest.raises(ValueError, match="lid_neighbours: got 30, expected 2 to 20"):
        LocalDimension(CrossEntropy(), 0.1, neighbours=30, batch=20)
    with pytest.raises(ValueError, match="needs their radius eps"):
        DETECTORS["lid"].build(Fitting(CrossEntropy()), DETECTORS["lid"].options())


def test_the_bandwidth_is_the_paper_s_for_the_objective():
    kind = DETECTORS["k-density"]
    usual, reverse = (kind.build(Fitting(one), kind.options()).bandwidth for one in OBJECTIVES)
    assert (usual, reverse) == (1 / 0.26, 0.1 / 0.26)
    assert kind.build(Fitting(OBJECTIVES[1]), kind.options(kde_bandwidth=2.0)).bandwidth == 2.0


def test_the_median_bandwidth_is_that_of_distances_within_a_class():
    model, known = Net(), images(60)
    detector = KernelDensity(CrossEntropy(), "median")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(model, known)
        fixed = KernelDensity(CrossEntropy(), detector._variance)
        fixed.fit(model, known)
    with torch.no_grad():
        z, predicted = model.body(known).tanh(), model(known).argmax(1)
        pairs = [(a, b) for a in range(60) for b in range(a) if predicted[a] == predicted[b]]
        distances = sorted(float((z[a] - z[b]).square().sum()) for a, b in pairs)
        assert detector._variance == pytest.approx(distances[(len(distances) - 1) // 2], rel=1e-4)
        torch.testing.assert_close(detector.score(model, images(9, 2)), fixed.score(model, images(9, 2)))
    assert (detector.label, fixed.label) == ("K-density, median σ²", "K-density")
    with pytest.raises(ValueError, match="none that differ in their features"):
        KernelDensity(CrossEntropy(), "median").fit(model, images(1))
    with pytest.raises(ValueError, match="bandwidth: got 'mean', expected a number above 0 or median"):
        KernelDensity(CrossEntropy(), "mean")
