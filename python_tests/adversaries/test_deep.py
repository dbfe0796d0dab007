# SPDX-License-Identifier: MIT
"""Deep adversarial training: the objective written out literally, the laws of its ascent, the step of the weights."""

import logging

import pytest
import torch
from passes import require_untouched, untouched
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import Deep, deep_attack, pgd
from yopo_ext.adversaries.conjugate_ascent import GROW, SHRINK, TRIALS, conjugate_ascent
from yopo_ext.adversaries.deep_crafting import DeepCrafting, drawn_noise
from yopo_ext.adversaries.deep_problem import DeepProblem, per_image_loss
from yopo_ext.adversaries.equal_layers import each_alone, equal_layers
from yopo_ext.layer_chain import chain_of
from yopo_ext.models import build_model
from yopo_ext.objectives import CrossEntropy, Trades, as_objective

BALL = Ball(0.1, 0.1)
#: Two hidden layers and the last one of `net`.
CHAIN = "0+1,2+3+4+5+6,7"


def net(dropout=0.0):
    """Smooth, three hidden layers, batch norm; 2×6×6 images, 3 classes; float64."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Tanh(), nn.BatchNorm2d(3), nn.Dropout(dropout), nn.Conv2d(3, 4, 3), nn.Tanh(),
        nn.Flatten(), nn.Linear(16, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    return model.eval()


def batch(count=6):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(count) % 3


def problem_of(model, x, y, **options):
    parts = chain_of(model, CHAIN)
    layers = each_alone(parts[:-1]).stacked()
    return DeepProblem(layers, parts[-1], x, y, as_objective(cross_entropy), (0.5, 2.0), **options)


def losses(model, found, x, y):
    with torch.no_grad(), found.applied():
        return cross_entropy(model(x + found.eta), y, reduction="none")


@pytest.mark.parametrize("radius", [None, 0.05])
def test_both_forms_are_the_objective_written_out(radius):
    model, (x, y) = net(), batch()
    generator = torch.Generator().manual_seed(2)
    eta = 0.1 * torch.rand(x.shape, generator=generator, dtype=x.dtype)
    d1 = 0.1 * torch.randn(6, 3, 4, 4, generator=generator, dtype=x.dtype)
    d2 = 0.1 * torch.randn(6, 4, 2, 2, generator=generator, dtype=x.dtype).flatten(1)
    n1 = model[:2](x + eta) + d1
    n2 = model[2:7](n1) + d2

    def rho(weight, d):
        excess = d if radius is None else (d.abs() - radius).clamp(min=0)
        return -weight * (excess**2).flatten(1).sum(1)

    literal = cross_entropy(model[7](n2), y, reduction="none") + rho(0.5, d1) + rho(2.0, d2)
    problem = problem_of(model, x, y, radius=radius)
    torch.testing.assert_close(problem.residual_form([eta, n1, n2]), literal)
    torch.testing.assert_close(problem.recursive_form([eta, d1, d2]), literal)
    for ours, theirs in zip(problem.perturbations([eta, n1, n2]), (eta, d1, d2), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(problem.neurons([eta, d1, d2])[-1], n2)


def test_conjugate_gradients_of_polak_and_ribiere_written_out():
    """On a concave quadratic of one image: each step's direction and end."""
    matrix = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    start = torch.tensor([[4.0, -3.0]], dtype=torch.float64)

    def function(variables):
        return -0.5 * torch.einsum("bi,ij,bj->b", variables[0], matrix, variables[0])

    at, step, direction, before = start[0], 0.02, None, None
    for _ in range(3):
        gradient = -(matrix @ at)
        if direction is None:
            direction = gradient
        else:
            beta = max(0.0, float(gradient @ (gradient - before) / (before @ before)))
            direction = gradient + beta * direction
        value = -0.5 * at @ matrix @ at
        tried = [step * SHRINK**trial for trial in range(TRIALS)]
        step = next(one for one in tried if -0.5 * (at + one * direction) @ matrix @ (at + one * direction) > value)
        at, before, step = at + step * direction, gradient, step * GROW if step == tried[0] else step
    found = conjugate_ascent(function, [start], 3, lambda along: torch.full((1,), 0.02, dtype=torch.float64))
    torch.testing.assert_close(found.variables[0][0], at)
    converged = conjugate_ascent(function, [start], 60, lambda along: torch.full((1,), 0.3, dtype=torch.float64))
    assert float(converged.values) > -1e-8


@pytest.mark.parametrize("form", ["residual", "recursive"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_image_s_objective_ever_falls_and_the_input_stays_in_its_ball(form, norm):
    model, (x, y) = net(), batch()
    ball = Ball(0.1, 0.1, norm=norm)
    before = None
    for iterations in range(7):
        generator = torch.Generator().manual_seed(3)
        found = deep_attack(model, x, y, ball=ball, iterations=iterations, form=form, generator=generator)
        assert before is None or (found.values >= before).all()
        before = found.values
        size = found.eta.abs().amax() if norm == "linf" else found.eta.flatten(1).norm(dim=1).amax()
        assert size <= 0.1 * (1 + 1e-6)
        assert (x + found.eta).min() >= 0
        assert (x + found.eta).max() <= 1
    assert found.moved.all()


@pytest.mark.parametrize("form", ["residual", "recursive"])
def test_it_finds_no_less_than_the_shallow_attack_and_at_a_high_price_no_more(form):
    model, (x, y) = net(), batch()
    shallow = pgd(model, x, y, eps=0.1, alpha=0.01, steps=100, random_start=False)
    with torch.no_grad():
        reference = cross_entropy(model(x + shallow), y, reduction="none")
    options = {"ball": BALL, "form": form, "start": torch.zeros_like(x)}
    cheap = deep_attack(model, x, y, iterations=40, penalties=1.0, **options)
    assert (cheap.values >= reference).all()
    assert (losses(model, cheap, x, y) >= cheap.values).all()
    dear = deep_attack(model, x, y, iterations=40, penalties=1e6, **options)
    assert (losses(model, dear, x, y) <= reference + 1e-4).all()


@pytest.mark.parametrize("form", ["residual", "recursive"])
def test_the_network_under_the_perturbations_is_where_the_ascent_ended(form):
    model, (x, y) = net(), batch()
    found = deep_attack(model, x, y, ball=BALL, iterations=5, penalties=(0.5, 2.0), form=form, chain=CHAIN)
    problem = problem_of(model, x, y)
    literal = losses(model, found, x, y)
    for weight, d in zip((0.5, 2.0), found.hidden, strict=True):
        literal = literal - weight * d.square().flatten(1).sum(1)
    torch.testing.assert_close(found.values, literal)
    torch.testing.assert_close(problem.recursive_form([found.eta, *found.hidden]), found.values)
    neurons = problem.neurons([found.eta, *found.hidden])[1:]
    torch.testing.assert_close(problem.residual_form([found.eta, *neurons]), found.values)


def test_an_image_s_attack_does_not_depend_on_its_companions():
    model, (x, y) = net(), batch()
    crafting = DeepCrafting(model, 6)
    start = 0.1 * (2 * torch.rand(x.shape, dtype=x.dtype) - 1)
    quiet = lambda like, layer: torch.zeros_like(like)  # noqa: E731
    together = crafting.craft(BALL, x, y, start, quiet)
    alone = crafting.craft(BALL, x[2:3], y[2:3], start[2:3], quiet)
    torch.testing.assert_close(together.eta[2:3], alone.eta)
    torch.testing.assert_close(together.hidden[1][2:3], alone.hidden[1])


def test_one_pass_trains_the_weights_under_the_perturbations():
    model, (x, y) = net(dropout=0.5), batch()
    model.train()
    model[3].eval()  # so that the pass can be repeated
    statistics = model[2].running_mean.clone()
    deep = Deep(model, BALL, 4, chain=CHAIN, generator=torch.Generator().manual_seed(5))
    metrics = deep.accumulate(x, y)
    ours = [parameter.grad.clone() for parameter in model.parameters()]
    assert model.training
    assert not model[3].training
    with torch.no_grad():
        model[2].running_mean.copy_(statistics)
    for parameter in model.parameters():
        parameter.grad = None
    n1 = model[:2](x + deep.eta) + deep.hidden[0]
    loss = cross_entropy(model[7](model[2:7](n1) + deep.hidden[1]), y)
    loss.backward()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for one, parameter in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


def test_crafting_leaves_no_trace():
    model, (x, y) = net(dropout=0.5), batch()
    model.train()
    before = untouched(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        deep_attack(model, x, y, ball=BALL, iterations=2)
    require_untouched(model, before)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_line_search_that_finds_nothing_is_told_once_and_nothing_is_lost(caplog):
    model, (x, y) = net(), batch()
    flat = Deep(model, BALL, 3, hidden_eps=1.0, loss=lambda logits, y: 0.0 * cross_entropy(logits, y))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            metrics = flat.accumulate(x, y)
    assert len(caplog.records) == 1
    assert "the line search found no larger value for any of 6 images" in caplog.text
    assert float(metrics["loss"]) == 0
    assert flat.eta.abs().max() <= 0.1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Deep(model, BALL, 3).accumulate(x, y)
    assert not caplog.records


def test_equal_layers_are_one_call():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True)) for _ in range(3)]
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), *blocks, nn.Flatten(), nn.Linear(72, 3)).double().eval()
    chain = [model[0], *blocks, (model[4], model[5])]
    parts = chain_of(model, chain)
    x, y = batch()
    inputs = [torch.randn_like(x) for _ in range(4)]
    layers = equal_layers(parts[:-1], inputs)
    assert layers.groups == ((0,), (1, 2, 3))
    before = [one.clone() for one in inputs]
    for ours, part, given in zip(layers.stacked()(inputs), parts, inputs, strict=False):
        torch.testing.assert_close(ours, part(given))
    assert all(map(torch.equal, before, inputs))
    found = [
        DeepCrafting(model, 4, chain=chain, batched=batched).craft(
            BALL, x, y, torch.zeros_like(x), drawn_noise(torch.Generator().manual_seed(1))
        )
        for batched in (True, False)
    ]
    torch.testing.assert_close(found[0].values, found[1].values)


class Scaled(nn.Module):
    """A layer whose description does not say what it multiplies with."""

    def __init__(self, factor):
        super().__init__()
        self.weight, self.factor = nn.Parameter(torch.ones(2, 1, 1).double()), factor

    def forward(self, x):
        return self.factor * self.weight * x


def test_layers_that_only_look_equal_stay_alone():
    model = nn.Sequential(Scaled(1.0), Scaled(2.0), Scaled(1.0))
    x, _ = batch()
    assert equal_layers(chain_of(model), [x, x, x]).groups == ((0,), (1,), (2,))
    model = nn.Sequential(Scaled(1.0), Scaled(1.0))
    assert equal_layers(chain_of(model), [x, x]).groups == ((0, 1),)


def test_the_loss_of_each_image_by_any_objective():
    logits, y = torch.randn(5, 4), torch.arange(5) % 4
    expected = cross_entropy(logits, y, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(per_image_loss(CrossEntropy(0.1), logits, y), expected)
    inside = as_objective(lambda outputs, y: cross_entropy(outputs["logits"], y))
    torch.testing.assert_close(
        per_image_loss(inside, {"logits": logits}, y), cross_entropy(logits, y, reduction="none")
    )
    asks = as_objective(lambda logits, y: cross_entropy(logits, y) * (1.0 if float(logits.sum()) < 1e9 else 0.0))
    torch.testing.assert_close(per_image_loss(asks, logits, y), cross_entropy(logits, y, reduction="none"))


@pytest.mark.parametrize("name", ["smallcnn", "digits-cnn", "preactresnet18"])
def test_our_networks(name, one_thread):
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=10)
    side = {"smallcnn": 28, "digits-cnn": 8}.get(name, 8)
    deep = Deep(model, BALL, 2, generator=torch.Generator().manual_seed(0))
    deep.accumulate(torch.rand(3, 1, side, side), torch.arange(3))
    assert len(deep.hidden) == len(chain_of(model)) - 1
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": -1}, "iterations: got -1"),
        ({"penalties": (1.0, 2.0, 3.0)}, "penalties: got 3, expected one, or one for each of 2 hidden layers"),
        ({"penalties": 0.0}, "penalties: got 0.0, expected finite numbers above 0"),
        ({"hidden_eps": -0.1}, "hidden_eps: got -0.1"),
        ({"form": "sideways"}, "form: got 'sideways', expected one of"),
        ({"loss": Trades()}, "asks for the outputs at the clean images"),
        ({"chain": "0+1,nothing"}, "chain: got 'nothing'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        Deep(net(), BALL, **{"chain": CHAIN, **options})


def test_a_network_that_is_no_chain_is_refused_before_anything_is_added():
    model, (x, y) = net(), batch()
    deep = Deep(model, BALL, 2, chain="0,4+5+6,7")  # without the activation and the batch norm between
    before = untouched(model)
    with pytest.raises(ValueError, match=r"chain: part 1 \(4\): its output differs from the network's own"):
        deep.accumulate(x, y)
    require_untouched(model, before)
