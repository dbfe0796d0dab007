# SPDX-License-Identifier: MIT

import pytest
import torch
from robustness import attacked, robust
from torch import nn

from yopo_ext.data import ImageSet, to_float
from yopo_ext.evaluation import PGDAttack, accuracy, default_alpha, outcomes

ATTACK = PGDAttack(0.12, steps=3)


def snapshot(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    wants = [parameter.requires_grad for parameter in model.parameters()]
    return state, modes, wants


def test_clean_accuracy_counts(model, images):
    with torch.no_grad():
        expected = (model.eval()(to_float(images.images)).argmax(1) == images.labels).float().mean().item() * 100
    assert 50 < expected < 100
    for batch_size in (7, 90, 512):
        assert accuracy(model, images, batch_size=batch_size) == pytest.approx(expected)


def test_it_measures_in_evaluation_mode(model, images):
    assert accuracy(model.train(), images) == accuracy(model.eval(), images)


@pytest.mark.parametrize("measure", [accuracy, lambda model, images: robust(model, images, ATTACK)])
def test_mode_gradients_and_statistics_are_left_as_they_were(model, images, measure):
    model.train()
    model.drop.eval()
    model.rows.bias.requires_grad_(False)
    model.wiggle[0].weight.grad = torch.ones_like(model.wiggle[0].weight)
    state, modes, wants = snapshot(model)
    measure(model, images)
    state_after, modes_after, wants_after = snapshot(model)
    assert (modes_after, wants_after) == (modes, wants)
    assert all(torch.equal(state[name], state_after[name]) for name in state)
    assert torch.equal(model.wiggle[0].weight.grad, torch.ones_like(model.wiggle[0].weight))
    assert model.wiggle[2].weight.grad is None


def test_also_after_an_interruption(model, images):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    model.train()
    for attacks in ([], [ATTACK]):
        with pytest.raises(Stop):
            robust(model, images, *attacks, on_batch=stop)
        assert all(module.training for module in model.modules())
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_on_batch_is_called_for_each(model, images):
    calls = []
    accuracy(model, images, batch_size=40, on_batch=lambda: calls.append(1))
    robust(model, images, ATTACK, batch_size=40, on_batch=lambda: calls.append(1))
    assert len(calls) == 3 + 6


def test_a_linear_classifier_falls_where_its_margin_is_used_up():
    # Two pixels, class by the brighter one: an attack moves each by eps, so a difference of 2 eps and more survives.
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(2))
    left = torch.tensor([110, 120, 130, 200, 90], dtype=torch.uint8)
    values = torch.stack([left, torch.full_like(left, 100)], 1).reshape(5, 1, 1, 2)
    images = ImageSet(values, torch.zeros(5, dtype=torch.int64), 2)
    for loss in ("ce", "margin"):
        for eps, expected in ((0.0, 80), (4.5 / 255, 80), (5.5 / 255, 60), (14.5 / 255, 40), (15.5 / 255, 20)):
            found = robust(model, images, PGDAttack(eps, steps=5, loss=loss))
            assert found == pytest.approx(expected), (loss, eps)


def survivors(model, images, restarts, losses, steps=2):
    attacks = [PGDAttack(0.12, steps, 0.1, loss, restarts, seed=3) for loss in losses]
    found = torch.stack([one.survived for one in outcomes(model, images, attacks, batch_size=32).attacked]).all(0)
    return set(found.nonzero().squeeze(1).tolist())


@pytest.mark.parametrize("losses", [("ce",), ("margin",), ("ce", "margin"), ("margin", "ce")])
def test_more_restarts_never_save_an_image(model, images, losses):
    found = [survivors(model, images, restarts, losses) for restarts in range(1, 6)]
    for more, fewer in zip(found[1:], found, strict=False):
        assert more <= fewer
    assert found[-1] < found[0]


@pytest.mark.parametrize("restarts", [1, 3])
def test_more_losses_never_save_an_image(model, images, restarts):
    ce, margin = (survivors(model, images, restarts, (loss,)) for loss in ("ce", "margin"))
    both = survivors(model, images, restarts, ("ce", "margin"))
    assert both == ce & margin == survivors(model, images, restarts, ("margin", "ce"))
    assert ce != margin


def test_a_wrongly_classified_image_does_not_survive(model, images):
    clean = accuracy(model, images)
    assert robust(model, images, PGDAttack(0.0, steps=1)) == clean
    assert robust(model, images, ATTACK) < clean - 10


def test_the_seed_decides_alone(model, images):
    def run(seed):
        torch.manual_seed(int(torch.randint(1000, ())))
        return attacked(model, images, PGDAttack(0.12, 1, 0.05, seed=seed)).survived

    before = torch.get_rng_state()
    attacked(model, images, PGDAttack(0.1, 1, 0.05))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(run(0), run(0))
    assert any(not torch.equal(run(0), run(seed)) for seed in range(1, 5))


def test_no_alpha_means_a_step_that_crosses_the_ball(model, images):
    assert default_alpha(0.3, 10) == pytest.approx(0.075)
    given = robust(model, images, PGDAttack(0.12, steps=5, alpha=0.06))
    assert robust(model, images, PGDAttack(0.12, steps=5)) == given
