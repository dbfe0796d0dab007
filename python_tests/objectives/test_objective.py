# SPDX-License-Identifier: MIT
"""Objectives answer three questions; adversaries ask them and look into nothing themselves."""

import math
from functools import partial

import pytest
import torch
from passes import batch, gradients, relu_net, seeded
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from yopo_ext import YOPO, Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, Free, Natural
from yopo_ext.adversaries.method import METHODS, Ingredients
from yopo_ext.objectives import BinaryCrossEntropy, CrossEntropy, Objective, Trades, as_objective, cross_entropy, trades
from yopo_ext.objectives.objective import OBJECTIVES
from yopo_ext.options import options_of

BALL = Ball(0.06, 0.03)
APART = {
    "fgsm": FGSM,
    "n-fgsm": NFGSM,
    "pgd": partial(PGD, steps=2),
}
ONE_PASS = {
    "free": lambda model, ball, **options: Free(model, ball, 2, **options),
    "yopo": lambda model, ball, **options: YOPO(model, tuple(model[:2]), 2, 2, ball.eps, ball.alpha, **options),
}


class Opposed:
    """Climbs one thing and descends another."""

    needs_clean = False

    def attack(self, outputs, y):
        return -cross_entropy(outputs, y)

    def train(self, outputs, y, clean=None):
        assert clean is None
        return cross_entropy(outputs, y)

    def predict(self, outputs):
        return outputs.argmin(1)


def run(build, **options):
    model = relu_net()
    adversary = build(model, BALL, **options)
    if hasattr(adversary, "generator"):
        adversary.generator = seeded()
    metrics = adversary.accumulate(*batch())
    return adversary, metrics, gradients(model)


@pytest.mark.parametrize("build", APART.values(), ids=APART)
def test_where_crafting_is_apart_attack_is_climbed_and_train_descended(build):
    down, metrics, _ = run(build, loss=Opposed())
    expected, other, _ = run(build, loss=cross_entropy, attack_objective=lambda z, y: -cross_entropy(z, y))
    up, _, _ = run(build)
    assert torch.equal(down.eta, expected.eta)
    assert not torch.equal(down.eta, up.eta)
    assert torch.equal(metrics["loss"], other["loss"])
    assert metrics["correct"] != other["correct"]  # predict is the objective's


@pytest.mark.parametrize("build", ONE_PASS.values(), ids=ONE_PASS)
def test_where_one_pass_serves_both_train_is_climbed(build):
    found, _, theirs = run(build, loss=Opposed())
    expected, _, ours = run(build)
    assert torch.equal(found.eta, expected.eta)
    assert all(map(torch.equal, theirs, ours))


@pytest.mark.parametrize("build", ONE_PASS.values(), ids=ONE_PASS)
def test_where_one_pass_serves_both_there_is_no_clean_one(build):
    with pytest.raises(
        ValueError, match=r"loss: got Trades\(beta=6.0, label_smoothing=0.0\), which asks for the outputs"
    ):
        build(relu_net(), BALL, loss=Trades())


@pytest.mark.parametrize("build", APART.values(), ids=APART)
def test_a_clean_pass_where_the_objective_asks_for_it(build):
    x, y = batch()
    adversary, metrics, found = run(build, loss=Trades(2.0))
    same, _, _ = run(build)
    assert torch.equal(adversary.eta, same.eta)  # its attack is cross entropy
    model = relu_net()
    seen = relu_net()
    run_on = build(seen, BALL, generator=seeded())
    run_on.accumulate(x, y)
    for ours, theirs in zip(model.buffers(), seen.buffers(), strict=True):
        ours.copy_(theirs)
    loss = trades(model(x), model(x + adversary.eta), y, beta=2.0)
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for ours, expected in zip(found, gradients(model), strict=True):
        torch.testing.assert_close(ours, expected)


def test_natural_samples_are_their_own_clean_ones():
    x, y = batch()
    model = relu_net()
    metrics = Natural(model, loss=Trades()).accumulate(x, y)
    torch.testing.assert_close(metrics["loss"], cross_entropy(relu_net()(x), y).detach())
    assert model[2].num_batches_tracked == 1


@pytest.mark.parametrize("build", [TRADES, lambda model, ball, **o: TRADESYOPO(model, tuple(model[:2]), ball, **o)])
def test_trades_climbs_the_divergence_whatever_is_descended(build):
    both, _, _ = run(build)
    one, _, _ = run(build, loss=cross_entropy)
    assert torch.equal(both.eta, one.eta)
    assert one.model[2].num_batches_tracked == 1  # the perturbed pass alone; crafting is in eval mode


def test_as_objective():
    assert as_objective(CrossEntropy()) == CrossEntropy()
    plain = as_objective(cross_entropy)
    assert isinstance(plain, Objective)
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    y = torch.tensor([1, 1])
    assert plain.attack(logits, y) == plain.train(logits, y) == cross_entropy(logits, y)
    assert plain.predict(logits).tolist() == [1, 0]
    assert all(plain.predict(other) is None for other in (logits[:, :1], logits[0], [logits], logits.long()))
    for wrong, words in (
        (CrossEntropy, "loss: got the class CrossEntropy, expected an instance"),
        ("ce", "loss: got str, which is no function and has no attack, train, predict, needs_clean"),
    ):
        with pytest.raises(TypeError, match=words):
            as_objective(wrong)
    with pytest.raises(TypeError, match="attack_objective: got int"):
        PGD(relu_net(), BALL, attack_objective=3)


def test_one_output_read_as_two_logits():
    z, y = torch.tensor([[0.5], [-2.0], [0.0]]), torch.tensor([1, 1, 0])
    objective = BinaryCrossEntropy()
    torch.testing.assert_close(objective.train(z, y), binary_cross_entropy_with_logits(z[:, 0], y.double()).float())
    assert objective.predict(z).tolist() == objective.predict(z[:, 0]).tolist() == [1, 0, 0]
    for wrong in (torch.zeros(3, 2), torch.zeros(3, 1, 1)):
        with pytest.raises(ValueError, match=r"outputs: got shape .*expected \(B,\) or \(B, 1\)"):
            objective.attack(wrong, y)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1))
    x, labels = batch()
    metrics = YOPO(model, tuple(model[:2]), loss=objective).accumulate(x.float(), labels % 2)
    assert 0 <= metrics["correct"] <= 6


@pytest.mark.parametrize("name", OBJECTIVES.names)
def test_the_named_objectives(name):
    named = OBJECTIVES[name]
    assert isinstance(named.build(named.options()), Objective)
    assert named.help
    for option in options_of(named.options).values():
        wrong = "no such word" if option.choices else -math.inf
        wrong = (wrong,) if option.several else wrong
        with pytest.raises(ValueError, match=rf"{option.name}: got .*(inf|no such word).*, expected"):
            named.options(**{option.name: wrong})


@pytest.mark.parametrize("name", METHODS.names)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_method_is_built_from_its_declaration(name, norm):
    method = METHODS[name]
    objective = OBJECTIVES[method.objective]
    model, options, ball = relu_net(), method.options(), Ball(0.06, 0.03, norm=norm)
    if method.check is not None and norm == "l2":
        with pytest.raises(ValueError, match="norm: got 'l2'"):
            method.check(options, ball)
        return
    given = Ingredients(model, tuple(model[:2]), ball, objective.build(objective.options()), options, seeded())
    adversary = method.build(given)
    adversary.accumulate(*batch())
    assert all(parameter.grad.any() for parameter in model.parameters())
    assert method.adversarial == (name != "natural")
    assert set(method.numbers) <= set(options_of(method.options))
    if method.adversarial:
        assert adversary.ball == ball
