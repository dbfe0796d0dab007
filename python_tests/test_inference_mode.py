# SPDX-License-Identifier: MIT
"""What makes gradients does so inside torch.inference_mode too, also of images and labels that were made in it."""

from __future__ import annotations

import copy

import pytest
import torch
from passes import batch, relu_net, seeded
from torch import nn
from torch.nn.functional import cross_entropy

import yopo_ext
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, Free, FreeYOPO, Natural, YOPOAttack, pgd
from yopo_ext.data import ImageSet
from yopo_ext.evaluation import PGDAttack, accuracy, adversarial_examples, measure, staleness, sweep, transfer_matrix

BUDGET = {"eps": 0.1, "alpha": 0.05}
BALL = yopo_ext.Ball(**BUDGET)


def inside_and_outside(action):
    """The results of ``action(make)`` in both; ``make()`` is a network and a batch, made anew."""

    def make():
        x, y = batch()
        return copy.deepcopy(network), x.float(), y

    network = relu_net().float().eval()
    outside = action(*make())
    inner = make()[0]
    with torch.inference_mode():
        x, y = batch()
        x, y = x.float(), y + 0
        assert x.is_inference()
        assert y.is_inference()
        inside = action(inner, x, y)
        assert torch.is_inference_mode_enabled()
    return inside, outside


def attack(model, x, y):
    return pgd(model, x, y, steps=2, generator=seeded(), **BUDGET)


def caught(model, x, y):
    with yopo_ext.capture_costate(model[0]) as costate:
        cross_entropy(model(x.clone()), y.clone()).backward()
    return costate.value


def ascended(first_layer):
    def run(model, x, y):
        layer = yopo_ext.FirstLayer(first_layer(model))
        p = caught(model, x, y)[:, :, : x.shape[2] - 2]
        return layer.inner_ascent(x, torch.zeros_like(x), p, steps=2, **BUDGET)

    return run


def hamiltonian_gradient(model, x, y):
    layer = yopo_ext.FirstLayer(model[0])
    layer.accumulate_hamiltonian(x, torch.ones(len(x), 4, 4, 4, dtype=x.dtype))
    return model[0].weight.grad


def decay(model, x, y):
    found = staleness(model, (model[0], model[1]), x, y, n=2, **BUDGET)
    return torch.tensor([found.cosine, found.gain, found.fresh_gain])


def image_set(x, y):
    return ImageSet((255 * x).to(torch.uint8), y, 3)


def measured(model, x, y):
    report = measure(model, image_set(x, y), [PGDAttack(0.01, steps=2, targets="all")])
    return torch.tensor([report.clean, report.worst])


def swept(model, x, y):
    (curve,) = sweep(model, image_set(x, y), [PGDAttack(0.1, steps=2)], "eps", [0.0, 0.1, 0.3]).curves.values()
    return torch.tensor(curve)


def transferred(model, x, y):
    return torch.tensor(transfer_matrix({"a": model, "b": model}, image_set(x, y), PGDAttack(0.01, steps=2)).accuracy)


def shown(model, x, y):
    return adversarial_examples(model, image_set(x, y), PGDAttack(0.1, steps=2)).eta


def trained(build):
    def run(model, x, y):
        adversary = build(model)
        metrics = adversary.accumulate(x, y)
        assert not metrics["loss"].is_inference()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    return run


ACTIONS = {
    "pgd": attack,
    "capture_costate": caught,
    "inner_ascent": ascended(lambda model: model[0]),
    "inner_ascent by autograd": ascended(lambda model: nn.Sequential(nn.ReflectionPad2d(0), model[0])),
    "accumulate_hamiltonian": hamiltonian_gradient,
    "staleness": decay,
    "measure": measured,
    "sweep": swept,
    "transfer_matrix": transferred,
    "adversarial_examples": shown,
    "YOPO": trained(lambda model: yopo_ext.YOPO(model, (model[0], model[1]), m=2, n=2, generator=seeded(), **BUDGET)),
    "Natural": trained(Natural),
    "PGD": trained(lambda model: PGD(model, BALL, 2, generator=seeded())),
    "FGSM": trained(lambda model: FGSM(model, BALL, generator=seeded())),
    "NFGSM": trained(lambda model: NFGSM(model, BALL, generator=seeded())),
    "Free": trained(lambda model: Free(model, BALL, 2)),
    "TRADES": trained(lambda model: TRADES(model, BALL, 2, generator=seeded())),
    "FreeYOPO": trained(lambda model: FreeYOPO(model, (model[0], model[1]), 2, 2, **BUDGET)),
    "YOPOAttack": trained(lambda model: YOPOAttack(model, (model[0], model[1]), BALL, m=2, n=2, generator=seeded())),
    "TRADESYOPO": trained(lambda model: TRADESYOPO(model, (model[0], model[1]), BALL, m=2, n=2, generator=seeded())),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_the_result_is_that_of_outside(name):
    inside, outside = inside_and_outside(ACTIONS[name])
    assert inside.numel() > 0
    assert outside.abs().sum() > 0
    assert torch.equal(inside, outside)


def test_under_autocast_the_casts_of_the_mode_are_not_used():
    model, (x, y) = relu_net().float().eval(), batch()
    x = x.float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = attack(model, x, y)
        with torch.inference_mode():
            model(x)
            found = attack(model, x, y)
    assert torch.equal(found, expected)


def test_targets_in_containers_are_made_usable_too():
    """As mixup's (y_a, y_b, share)."""

    def loss(logits, y):
        return y[2] * cross_entropy(logits, y[0]) + (1 - y[2]) * cross_entropy(logits, y[1]["other"])

    model, (x, y) = relu_net().eval(), batch()
    options = {"steps": 2, "loss": loss, "random_start": False, **BUDGET}
    expected = pgd(model, x, (y, {"other": y.flip(0)}, 0.3), **options)
    with torch.inference_mode():
        assert torch.equal(pgd(model, x + 0, (y + 0, {"other": y.flip(0)}, 0.3), **options), expected)


@pytest.mark.parametrize("name", ["pgd", "staleness", "measure", "YOPO", "Natural"])
def test_a_model_made_in_the_mode_is_refused_by_the_name_of_its_parameter(name):
    with torch.inference_mode():
        model, (x, y) = relu_net().float().eval(), batch()
        with pytest.raises(RuntimeError, match=r"model: 0\.weight was made inside torch.inference_mode"):
            ACTIONS[name](model, x.float(), y)


def test_its_clean_accuracy_can_be_measured_in_the_mode():
    x, y = batch()
    with torch.inference_mode():
        found = accuracy(relu_net().float(), image_set(x, y))
    assert found == accuracy(relu_net().float(), image_set(x, y))


def test_measuring_refuses_it_outside_of_the_mode_too():
    with torch.inference_mode():
        model = relu_net().float().eval()
    with pytest.raises(RuntimeError, match=r"model: 0\.weight was made inside torch.inference_mode"):
        measured(model, *batch())


def test_a_buffer_made_in_the_mode_is_found():
    model, (x, y) = relu_net().eval(), batch()
    with torch.inference_mode():
        model[2].running_mean = torch.zeros(4, dtype=torch.float64)
        with pytest.raises(RuntimeError, match=r"model: 2\.running_mean was made inside"):
            attack(model, x, y)


def test_no_grad_stays_no_grad():
    """Where a block only catches, nothing switches gradients on that the caller switched off."""
    model, (x, y) = relu_net().eval(), batch()
    with torch.no_grad(), pytest.raises(RuntimeError, match="called with gradients disabled"):
        caught(model, x, y)
