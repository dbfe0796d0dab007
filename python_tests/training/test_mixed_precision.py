# SPDX-License-Identifier: MIT
"""float16 with a scaled loss: what is scaled, what is not, what a skipped step leaves alone."""

import math

import batch_norm_net
import pytest
import torch
from same_runs import assert_equal, everything
from torch import nn

from yopo_ext import YOPO, Ball
from yopo_ext.adversaries import FGSM, PGD, TRADES, TRADESYOPO, Free, FreeYOPO, Natural, YOPOAttack
from yopo_ext.loss_scale import LossScale, scaled, watched
from yopo_ext.stopwatch import NoStopwatch
from yopo_ext.training import Trainer, TrainingError, change_config
from yopo_ext.training.loop.mixed_precision import LEAST_SCALE, MixedPrecision

CPU = torch.device("cpu")
METHODS = [
    "natural",
    "fast",
    "pgd-2",
    "free-2",
    "trades-2",
    "trades-yopo-2-2",
    "yopo-2-2",
    "yopo-attack-2-2",
    "free-yopo-2-2",
]


def adversaries(net, ball, draws):
    layer = (net[0], net[1])
    yield from (Natural(net), FGSM(net, ball, generator=draws), PGD(net, ball, 2, generator=draws), Free(net, ball, 1))
    yield from (TRADES(net, ball, 2, generator=draws), TRADESYOPO(net, layer, ball, 2, 2, generator=draws))
    yield YOPOAttack(net, layer, ball, 2, 2, generator=draws)
    yield FreeYOPO(net, layer, 1, 2, ball.eps, ball.alpha, norm=ball.norm)
    for grad in ("hamiltonian", "backprop", "both"):
        for reduction in ("mean", "sum"):
            yield YOPO(net, layer, 2, 2, ball.eps, ball.alpha, norm=ball.norm, first_layer_grad=grad,
                       reduction=reduction, generator=draws)  # fmt: skip


def passes(norm, factor):
    """(adversary's name, gradients, η) of each on one mini-batch, its losses scaled by the factor."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(6, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(6) % 3
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    draws = torch.Generator()
    for adversary in adversaries(net, Ball(0.2, 0.05, norm=norm), draws):
        net.zero_grad()
        draws.manual_seed(2)
        scale = LossScale(CPU)
        scale.factor.fill_(factor)
        with scale.in_use():
            metrics = adversary.accumulate(x, y)
        assert scale.used
        assert scale.overflow == 0
        gradients = [one.grad / factor for one in net.parameters()]
        yield type(adversary).__name__, gradients, getattr(adversary, "eta", None), metrics["loss"]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_scaled_losses_give_scaled_gradients_and_the_same_attack(norm):
    for plain, other in zip(passes(norm, 1.0), passes(norm, 1024.0), strict=True):
        for one, two in zip(plain[1], other[1], strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-14, msg=plain[0])
        if plain[2] is not None:
            torch.testing.assert_close(plain[2], other[2], rtol=1e-9, atol=1e-12, msg=plain[0])
        assert plain[3] == pytest.approx(float(other[3]), rel=1e-9)


def test_outside_of_a_block_nothing_is_scaled_and_an_overflow_is_noted_in_one():
    loss, scale = torch.tensor(3.0), LossScale(CPU)
    scale.factor.fill_(8.0)
    assert scaled(loss) is loss
    with scale.in_use():
        assert scaled(loss) == 24
        assert not scale.used
        for gradient, noted in (([1.0, -2.0], False), ([], False), ([1.0, math.inf], True), ([math.nan], True)):
            with scale.in_use():
                watched(torch.tensor(gradient, dtype=torch.float16))
            assert bool(scale.overflow.isnan()) == noted


@pytest.fixture
def too_large(monkeypatch):
    """The scale begins where every gradient overflows."""
    made = torch.amp.GradScaler
    monkeypatch.setattr("torch.amp.GradScaler", lambda device: made(device, init_scale=2.0**22, growth_interval=4))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_skips_and_resumes_bit_for_bit(runs, too_large, method):
    config = change_config(runs.config, method=method, alpha=0.03, amp="fp16", ewa_decay=0.5)
    whole = runs.finished("whole", config)
    expected, last = everything(whole), whole.log[-1]
    assert last["skipped_steps"] > 0
    assert 1 <= last["loss_scale"] < 2.0**22
    # The average of the weights and momentum see the steps that were made, and no other.
    steps = 3 * 4 * whole.adversary.replays
    assert expected["events"]["averaging"]["n_averaged"] == steps - last["skipped_steps"]
    assert last["loss"] < whole.log[0]["loss"]
    resumed = runs.resumed("parts", config, 6)
    assert_equal(everything(resumed), expected)


def test_a_skipped_step_leaves_the_weights_and_the_optimizer(runs, too_large):
    trainer = runs.trainer(method="natural", amp="fp16", optimizer="adam", lr=1e-3)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    batches = iter(trainer.batches)
    trainer.position = 1
    trainer.step(next(batches))
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert not trainer.optimizer.state
    assert trainer.step.weights.precision.record() == {"loss_scale": 2.0**21, "skipped_steps": 1}


@pytest.mark.parametrize(
    "changes", [{"model": batch_norm_net.NAME, "method": "yopo-2-2"}, {"norm": "l2", "eps": 1.0, "alpha": 0.2}]
)
def test_half_precision_comes_close_to_float32(runs, monkeypatch, changes):
    losses, made = [], torch.amp.GradScaler
    monkeypatch.setattr("torch.amp.GradScaler", lambda device: made(device, init_scale=256.0))
    for amp in ("off", "fp16"):
        config = change_config(runs.config, amp=amp, accumulate=2, **changes)
        losses.append([line["loss"] for line in runs.finished(amp, config).log])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_clipping_sees_true_gradients(runs):
    trainer = runs.trainer(
        method="yopo-2-2", amp="fp16", clip_grad_norm=1e-3, momentum=0.0, weight_decay=0.0, lr=1.0, milestones=()
    )
    before = [one.detach().clone() for one in trainer.model.parameters()]
    trainer.position = 1
    trainer.step(next(iter(trainer.batches)))
    moved = [one.detach() - other for one, other in zip(trainer.model.parameters(), before, strict=True)]
    assert float(torch.cat([one.flatten() for one in moved]).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_an_overflow_that_only_the_attack_meets_is_a_skipped_step(runs):
    trainer = runs.trainer(method="pgd-1", amp="fp16")
    climbed = trainer.adversary.attack_objective
    trainer.adversary.attack_objective = type(
        "Steep", (), {"attack": lambda self, *given: climbed.attack(*given) * 1e6}
    )()
    trainer.position = 1
    trainer.step(next(iter(trainer.batches)))
    assert trainer.step.weights.precision.record()["skipped_steps"] == 1


class Own:
    """Takes its gradients itself."""

    replays = 1

    def __init__(self, model):
        self.model, self.stopwatch = model, NoStopwatch()

    def accumulate(self, x, y):
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        return {"loss": loss.detach(), "count": torch.tensor(len(x))}


def test_gradients_that_nobody_scales_are_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    batches = [(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, Own(model), batches, optimizer, epochs=1, amp="fp16")
    with pytest.raises(RuntimeError, match="amp: got fp16 with Own, which takes its gradients itself"):
        trainer.fit()
    steep = YOPO(model, model[0], direction="gradient")
    with pytest.raises(ValueError, match="direction: got gradient with a loss that is scaled"):
        Trainer(model, steep, batches, optimizer, epochs=1, amp="fp16").fit()


def test_gradients_that_no_scale_makes_finite_end_the_run():
    weight = nn.Parameter(torch.zeros(1))
    optimizer, precision = torch.optim.SGD([weight], lr=1.0), MixedPrecision(CPU, "fp16")
    for _ in range(26):
        weight.grad = torch.tensor([math.nan])
        precision.unscale(optimizer)
        if precision.record()["loss_scale"] <= LEAST_SCALE:
            break
        assert not precision.step(optimizer)
    weight.grad = torch.tensor([math.nan])
    with pytest.raises(TrainingError, match="the gradients are not finite, whatever the loss is scaled by"):
        precision.step(optimizer)
    assert weight == 0
