# SPDX-License-Identifier: MIT
"""What each method costs, in forward passes of the network, and that no attack computes gradients of weights."""

import pytest
import torch
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, YOPO, Deep, Free, FreeYOPO, Natural, YOPOAttack
from yopo_ext.adversaries.consistency import Consistency
from yopo_ext.adversaries.starts import Shared
from yopo_ext.compiled_regions import GUARDS_MISS_REQUIRES_GRAD
from yopo_ext.data import ImageSet
from yopo_ext.evaluation import PGDAttack, outcomes
from yopo_ext.evaluation.attacks import ATTACKS, Budget
from yopo_ext.units import UnitCounter

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3
BALL = Ball(0.1, 0.05)
FIRST, SECOND, LAST = 8 * 8 * 4 * 9, 4 * 4 * 8 * 36, 128 * 3
#: the first layer's share of the multiply-adds
S = FIRST / (FIRST + SECOND + LAST)


class Net(nn.Sequential):
    """A convolution with an activation, of which the first layer is made; another, batch norm, a linear layer."""

    def __init__(self, activation=None):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), activation or nn.Identity())
        self.rest = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)
        )


def yopo(**options):
    return lambda model: YOPO(model, model.first, 3, 4, BALL.eps, BALL.alpha, **options)


# A pass for the weights has no gradient of the images (the first layer's share of one); YOPO's n steps in a linear
# first layer are one evaluation of its adjoint, and its own gradient is another.
COSTS = {
    "natural": (Natural, 3 - S),
    "fgsm": (lambda model: FGSM(model, BALL), 2 + 3 - S),
    "fgsm, batch norm evaluating": (lambda model: FGSM(model, BALL, bn_mode="eval"), 2 + 3 - S),
    # The outputs at the start are the attack's own; in the graph they take a backward pass more.
    "fgsm, consistent": (lambda model: FGSM(model, BALL, consistency=Consistency(1.0)), 2 + 3 - S + 2),
    "fgsm, held": (lambda model: FGSM(model, BALL, consistency=Consistency(1.0, "detached")), 2 + 3 - S),
    "n-fgsm": (lambda model: NFGSM(model, BALL), 2 + 3 - S),
    "pgd-0": (lambda model: PGD(model, BALL, 0), 3 - S),
    "pgd-4": (lambda model: PGD(model, BALL, 4), 2 * 4 + 3 - S),
    "free-4": (lambda model: Free(model, BALL, 4), 3 * 4),
    "yopo-3-4": (yopo(), 3 * (3 - 2 * S) + 3 * (S + S)),
    "yopo-3-4, backprop": (yopo(first_layer_grad="backprop"), 3 * (3 - S) + 2 * S),
    "yopo-attack-3-4": (lambda model: YOPOAttack(model, model.first, BALL, 3, 4), 3 * (2 - S + S) + 3 - S),
    # The start follows the gradient of the images, which the steps in a convolution do not show, by a matrix product.
    "yopo-attack-3-4, a shared start": (
        lambda model: YOPOAttack(model, model.first, BALL, 3, 4, start=Shared(X.shape[1:])),
        3 * 2 + 3 - S + 2 * S + (8 * 8 + 1) / (FIRST + SECOND + LAST),
    ),
    "free-yopo-3-4": (lambda model: FreeYOPO(model, model.first, 3, 4, BALL.eps, BALL.alpha), 3 * (3 - 2 * S) + 6 * S),
    "trades-4": (lambda model: TRADES(model, BALL, 4), 1 + 2 * 4 + 2 * (3 - S)),
    "trades-yopo-3-4": (lambda model: TRADESYOPO(model, model.first, BALL, 3, 4), 1 + 3 * (2 - S + S) + 2 * (3 - S)),
}


def cost(adversary, model):
    """Units an image of a mini-batch, where the first layer has been checked on one before."""
    adversary.accumulate(X, Y)
    with UnitCounter(model) as counter:
        for _ in range(adversary.replays):
            adversary.accumulate(X, Y)
    return counter.per_image(len(X))


@pytest.mark.parametrize("method", COSTS)
def test_units_of_each_method(method):
    make, expected = COSTS[method]
    assert cost(make(model := Net()), model) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"backend": "torch"}], ids=["fastest", "torch"])
def test_steps_in_a_nonlinear_first_layer_are_a_pass_there_each(options):
    model = Net(nn.ReLU())
    # 4 steps forward and backward, then its own gradient, after each of 3 passes
    expected = 3 * (3 - 2 * S) + 3 * (2 * 4 * S + 2 * S)
    assert cost(yopo(**options)(model), model) == pytest.approx(expected, abs=1e-9)
    # Where no kernel reads the layer, autograd evaluates it: H and its gradient at each step.
    model = Net(nn.Hardswish())
    assert cost(yopo()(model), model) == pytest.approx(expected, abs=1e-9)


def test_steps_in_a_deeper_prefix_cost_its_share_twice():
    model = Net(nn.ReLU())
    prefix = S + SECOND / (FIRST + SECOND + LAST)
    cut = (*model.first, *model.rest[:3])  # with the other convolution, batch norm and activation
    adversary = YOPO(model, cut, 3, 4, BALL.eps, BALL.alpha)
    # A pass that ends there, 4 steps to the images, and the prefix's own gradient, which needs none of the images.
    expected = 3 * (3 - 2 * prefix + 4 * 2 * prefix + 3 * prefix - S)
    assert cost(adversary, model) == pytest.approx(expected, abs=1e-9)


class WeightGradients(TorchDispatchMode):
    """Counts those of convolutions."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.found += args[-1][1]
        return func(*args, **(kwargs or {}))


def test_the_deep_attack_has_no_gradients_of_weights():
    with WeightGradients() as seen:
        Deep(Net(nn.ReLU()), BALL, 2).accumulate(X, Y)
    assert seen.found == 2  # of the pass for the weights


def measured(attack):
    model = Net(nn.ReLU())
    images = ImageSet((255 * X).byte(), Y, 3)
    with WeightGradients() as seen, UnitCounter(model) as counter:
        outcomes(model, images, [attack])
    return seen.found, counter.multiply_adds / (FIRST + SECOND + LAST)


def test_attacks_for_measuring_have_no_gradients_of_weights():
    of_weights, passes = measured(PGDAttack(eps=0.0, steps=5))
    # Images that the network is right on are attacked; the verdict is another forward pass.
    right = Net(nn.ReLU()).eval()((255 * X).byte() / 255).argmax(1) == Y
    assert right.any()
    assert (of_weights, passes) == (0, len(X) + int(right.sum()) * (2 * 5 + 1))
    for name in ("deep", "pgd-targeted", "bim"):
        attacks = [one for kind in ATTACKS if kind.name == name for one in kind.build(Budget(0.1), kind.options())]
        assert measured(attacks[0])[0] == 0


@pytest.mark.skipif(GUARDS_MISS_REQUIRES_GRAD, reason="its weights are left alone")
def test_attacks_on_what_is_compiled_have_no_gradients_of_weights():
    """A compiled region computes every gradient that was asked for when it ran forward, whoever wants them."""
    of_weights = []

    def backward(graph, inputs):
        masks = [node.args[-1] for node in graph.graph.nodes if "convolution_backward" in str(node.target)]

        def run(values):
            of_weights.extend(mask[1] for mask in masks)
            return graph.forward(*values)

        run._boxed_call = True
        return run

    torch._dynamo.reset()
    model = Net(nn.ReLU())
    model.rest = torch.compile(model.rest, backend=aot_autograd(fw_compiler=_as_it_is, bw_compiler=backward))
    for adversary, attack, weights in (
        (PGD(model, BALL, 2), 2, 1),
        (NFGSM(model, BALL), 1, 1),
        (TRADES(model, BALL, 2, bn_mode="train"), 2, 2),  # the clean and the perturbed images
        (TRADESYOPO(model, model.first, BALL, 2, 2, bn_mode="train"), 2, 2),
    ):
        of_weights.clear()
        adversary.accumulate(X, Y)
        assert sorted(of_weights) == [False] * attack + [True] * weights, type(adversary)


def _as_it_is(graph, inputs):
    def run(values):
        return graph.forward(*values)

    run._boxed_call = True
    return run
