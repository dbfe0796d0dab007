# SPDX-License-Identifier: MIT

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from yopo_ext.objectives import AdaptiveDiversity, ensemble_diversity

Y = torch.tensor([0, 1, 2, 3, 0])


def logits(members=3, classes=4, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(5, members, classes, generator=generator, dtype=torch.float64)


def columns(row, label):
    """M̃ of one image: the members' probabilities without the true class, of length 1."""
    found = []
    for member in row:
        f = member.exp() / member.exp().sum()
        wrong = torch.stack([f[j] for j in range(len(f)) if j != label])
        found.append(wrong / wrong.norm())
    return torch.stack(found, 1)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.5), (0.0, 0.5), (2.0, 0.0), (0.0, 0.0)])
def test_the_formula_written_out(alpha, beta):
    z, total = logits(), 0.0
    for row, label in zip(z, Y, strict=True):
        f = row.exp() / row.exp().sum(1, keepdim=True)
        mean = f.mean(0)
        m = columns(row, label)
        total += sum(-one[label].log() for one in f)
        total -= alpha * -(mean * mean.log()).sum()
        total -= beta * torch.linalg.det(m.T @ m + 1e-6 * torch.eye(3, dtype=m.dtype)).log()
    objective = AdaptiveDiversity(entropy_weight=alpha, diversity_weight=beta)
    torch.testing.assert_close(objective.train(z, Y), total / 5)
    torch.testing.assert_close(objective.train(z.float(), Y), (total / 5).float(), rtol=1e-4, atol=1e-4)


def test_what_is_attacked_and_predicted_is_the_mean_probability():
    z, objective = logits(scale=3), AdaptiveDiversity()
    mean = z.softmax(2).mean(1)
    torch.testing.assert_close(objective.attack(z, Y), -mean.gather(1, Y[:, None]).log().mean())
    torch.testing.assert_close(objective.logits(z), mean.log())
    assert objective.predict(z).tolist() == mean.argmax(1).tolist()
    assert mean.argmax(1).tolist() != z.mean(1).argmax(1).tolist()


def test_diversity_is_the_squared_volume_and_lies_between_agreement_and_none():
    z = logits()
    expected = torch.stack(
        [torch.linalg.det((m := columns(row, label)).T @ m) for row, label in zip(z, Y, strict=True)]
    )
    torch.testing.assert_close(ensemble_diversity(z, Y), expected)
    agree = logits(1).expand(-1, 3, -1)
    assert ensemble_diversity(agree, Y).abs().max() < 1e-12
    apart = torch.full((1, 3, 4), -50.0)
    for member, wrong in enumerate((1, 2, 3)):
        apart[0, member, wrong] = apart[0, member, 0] = 0
    torch.testing.assert_close(ensemble_diversity(apart, Y[:1]), torch.ones(1, dtype=torch.float64))


def test_its_minimum_is_that_of_the_paper_s_corollary():
    """K = 3 divides L − 1 = 3: each member has a wrong class of its own, and F_y solves equation 7."""
    alpha, members, classes = 2.0, 3, 4
    z = (0.1 * logits()[:1]).requires_grad_()
    objective = AdaptiveDiversity(alpha, 0.5)
    optimizer = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def loss():
        optimizer.zero_grad()
        value = objective.train(z, Y[:1])
        value.backward()
        return value

    optimizer.step(loss)
    f = z.detach().softmax(2)[0]
    true = float(f.mean(0)[0])
    assert 1 / true == pytest.approx(alpha / members * math.log(true * (classes - 1) / (1 - true)), rel=1e-3)
    shared = members * (1 - true) / (classes - 1)
    assert f[:, 1:].amax(1).tolist() == pytest.approx([shared] * 3, rel=1e-3)
    assert sorted(f[:, 1:].argmax(1).tolist()) == [0, 1, 2]
    assert float(ensemble_diversity(z.detach(), Y[:1])) > 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 2e3])
def test_no_nan_of_members_that_agree_or_are_certain(dtype, scale):
    z = logits(scale=scale).to(dtype).requires_grad_()
    loss = AdaptiveDiversity().train(z, Y)
    loss.backward()
    assert loss.isfinite()
    assert z.grad.isfinite().all()


def test_a_single_member_is_cross_entropy_less_the_entropy():
    z = logits(1)
    f = z[:, 0].softmax(1)
    expected = cross_entropy(z[:, 0], Y) + 2 * (f * f.log()).sum(1).mean() - 0.5 * math.log(1 + 1e-6)
    torch.testing.assert_close(AdaptiveDiversity().train(z, Y), expected)


def test_members_that_do_not_share_the_wrong_classes_evenly():
    with pytest.warns(UserWarning, match=r"members: got 4, which does not divide 9"):
        AdaptiveDiversity().check_members(4, 10)
    for objective, members in ((AdaptiveDiversity(), 3), (AdaptiveDiversity(diversity_weight=0.0), 4)):
        objective.check_members(members, 10)  # a warning would be an error


@pytest.mark.parametrize("outputs", [torch.zeros(5, 4), torch.zeros(5, 3, 1)])
def test_outputs_of_no_ensemble(outputs):
    with pytest.raises(ValueError, match=r"outputs: got shape .*, expected \(B, members, classes\)"):
        AdaptiveDiversity().train(outputs, Y)
    with pytest.raises(TypeError, match="outputs: got tuple"):
        AdaptiveDiversity().predict((outputs,))
