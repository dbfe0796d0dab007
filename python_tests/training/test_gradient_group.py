# SPDX-License-Identifier: MIT
"""Several mini-batches a weight step are one larger mini-batch; gradients are cut to a norm."""

import math

import pytest
import torch
from same_runs import assert_equal, everything
from torch import nn

from yopo_ext import YOPO, Ball
from yopo_ext.adversaries import FGSM, NFGSM, PGD, TRADES, TRADESYOPO, Free, Natural, YOPOAttack
from yopo_ext.training import StopRequest, Trainer, TrainingError, change_config, make_config
from yopo_ext.training.loop.clipping import clip_gradients
from yopo_ext.training.loop.gradient_group import GradientGroup

BALL = Ball(0.1, 0.03)
ADVERSARIES = {
    "natural": lambda net, draws: Natural(net),
    "fast": lambda net, draws: FGSM(net, BALL, generator=draws),
    "n-fgsm": lambda net, draws: NFGSM(net, BALL, generator=draws),
    "pgd": lambda net, draws: PGD(net, BALL, 2, generator=draws),
    "trades": lambda net, draws: TRADES(net, BALL, 2, generator=draws),
    "yopo-attack": lambda net, draws: YOPOAttack(net, (net[0], net[1]), BALL, 2, 2, generator=draws),
    "trades-yopo": lambda net, draws: TRADESYOPO(net, (net[0], net[1]), BALL, 2, 2, generator=draws),
    **{
        f"yopo, {grad}, {reduction}": lambda net, draws, grad=grad, reduction=reduction: YOPO(
            net, (net[0], net[1]), 2, 2, 0.1, 0.03, first_layer_grad=grad, reduction=reduction, generator=draws
        )
        for grad, reduction in (("hamiltonian", "mean"), ("backprop", "sum"), ("both", "mean"))
    },
}


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()


def trained(sizes, name="natural", **options):
    """A trainer that has seen the same 14 images in mini-batches of these sizes, for two epochs."""
    model, draws = net(), torch.Generator().manual_seed(2)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(sum(sizes), 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(sum(sizes)) % 3
    found = Trainer(
        model, ADVERSARIES[name](model, draws), list(zip(x.split(sizes), y.split(sizes), strict=True)),
        torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9), epochs=2,
        schedule=lambda epochs: 0.3 / (1 + epochs), amp="off", **options,
    )  # fmt: skip
    found.fit()
    return found


@pytest.mark.parametrize("name", ADVERSARIES)
def test_accumulated_mini_batches_equal_larger_ones(name):
    larger = trained([8, 6], name, clip_grad_norm=0.4)
    for sizes in ([4, 4, 4, 2], [2, 6, 2, 4], [4, 4, 6]):
        found = trained(sizes, name, accumulate=2, clip_grad_norm=0.4)
        for one, other in zip(found.model.parameters(), larger.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)
        assert [line["lr"] for line in found.log] == [line["lr"] for line in larger.log]
        assert [line["loss"] for line in found.log] == pytest.approx([line["loss"] for line in larger.log])


def test_an_epoch_ends_with_a_step_of_what_is_there():
    steps = []
    group = GradientGroup(3)
    for position in range(1, 8):
        steps.append((group.begins(position), group.ends(position, 7)))
    first, inner, last = (True, False), (False, False), (False, True)
    assert steps == [first, inner, last, first, inner, last, (True, True)]
    assert [group.middle(position, 7) for position in (1, 3, 4, 7)] == [0.5 / 3, 0.5 / 3, 1.5 / 3, 2.5 / 3]
    assert group.ends(0, 7)  # between epochs


def test_what_steps_at_each_pass_is_refused():
    model = net()
    batches = [(torch.rand(2, 2, 6, 6).double(), torch.tensor([0, 1]))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="accumulate: got 2 with an adversary that steps the weights at each of its 3"):
        Trainer(model, Free(model, BALL, 3), batches, optimizer, epochs=1, accumulate=2)
    Trainer(model, Free(model, BALL, 1), batches, optimizer, epochs=1, accumulate=2)
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"clip_grad_norm: got .*, expected a finite number above 0"):
            Trainer(model, Natural(model), batches, optimizer, epochs=1, clip_grad_norm=wrong)
    for name, wrong in (("accumulate", 0), ("clip_grad_norm", 0.0)):
        with pytest.raises(ValueError, match=f"{name}: got {wrong}"):
            make_config(**{name: wrong})


@pytest.mark.parametrize("checks", [1, 2, 3])
def test_a_run_stops_between_weight_steps_and_resumes_bit_for_bit(runs, checks):
    config = change_config(runs.config, accumulate=3, clip_grad_norm=0.5, ewa_decay=0.5, batch_size=8)  # 3 + 3 + 1
    expected = everything(runs.finished("whole", config))
    stopped = runs.interrupted("parts", config, checks)
    assert (stopped.epoch, stopped.position) == [(0, 3), (0, 6), (1, 0)][checks - 1]
    assert expected["events"]["averaging"]["n_averaged"] == 3 * 3
    resumed = runs.trainer("parts", config)
    resumed.resume()
    resumed.fit(StopRequest())
    assert_equal(everything(resumed), expected)


def test_the_rate_scales_with_the_images_of_a_weight_step():
    assert make_config(lr=0.1, lr_batch=64, batch_size=32, accumulate=4).base_lr == pytest.approx(0.2)


def weights_of(*gradients):
    found = []
    for gradient in gradients:
        found.append(nn.Parameter(torch.zeros(len(gradient))))
        found[-1].grad = torch.tensor(gradient)
    return [*found, nn.Parameter(torch.zeros(2))]


def test_gradients_keep_their_direction_and_get_the_norm():
    weights = weights_of([3.0, 0.0], [-4.0])
    clip_gradients(weights, 10.0)
    assert [one.grad.tolist() for one in weights[:2]] == [[3.0, 0.0], [-4.0]]
    clip_gradients(weights, 1.0)
    torch.testing.assert_close(torch.cat([one.grad for one in weights[:2]]), torch.tensor([0.6, 0.0, -0.8]))
    assert weights[2].grad is None


@pytest.mark.parametrize("gradients", [([1.0], [math.inf]), ([math.nan], [1.0]), ([3e30], [3e30])])
def test_a_norm_that_is_not_finite_reaches_the_weights(gradients):
    weights = weights_of(*gradients)
    clip_gradients(weights, 1.0)
    assert weights[0].grad.isnan().all()


def test_a_run_whose_gradient_overflows_ends_instead_of_standing_still(runs):
    trainer = runs.trainer(method="natural", clip_grad_norm=1.0)
    weight = trainer.model.classifier.fc2.weight
    weight.register_hook(lambda grad: grad * 1e38)
    with pytest.raises(TrainingError, match="not finite in epoch 1"):
        trainer.fit()
