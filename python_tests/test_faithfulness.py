# SPDX-License-Identifier: MIT
"""`YOPO.accumulate` against the authors' algorithm (literal_yopo.py), a whole mini-batch of the papers' networks.

The two start from the same seed and are compared throughout: p of every pass, η after every step, and at the end every
parameter's gradient and every running statistic. η may differ only by flips, signs of a g that lies within the rounding
error of both computations; they are counted and capped, and there the literal run takes our side, or else the
trajectories would part for no fault of either. Dropout is on, as the papers train; both runs draw the same masks from
the same seed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import literal_yopo
import pytest
import torch
from differential import Problem, gradient_error_bound
from literal_yopo import CutNetwork, Step
from torch import Tensor, nn
from torch.nn import functional as F

from yopo_ext import YOPO
from yopo_ext.models import PreActResNet18, SmallCNN

#: Of the elements of η in one step that may take the other sign; how many may be too small to tell is capped as well.
MOST_FLIPS, MOST_UNDECIDED = 1e-3, 1e-2
#: Of η: clamp(x + η) − x against the clamp to an interval.
ROUNDING = 1e-6
#: Relative, in the norm of each tensor: float32 through a whole network, once with clamp(x + η) − x and once without.
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Setting:
    """A network, cut by hand, and its paper's YOPO-m-n."""

    network: CutNetwork
    layer: dict[str, object]
    size: tuple[int, int, int, int]
    m: int
    n: int
    eps: float
    alpha: float

    @property
    def budget(self) -> dict[str, float]:
        return {"m": self.m, "n": self.n, "eps": self.eps, "alpha": self.alpha}


def small_cnn(model: nn.Module | None = None) -> Setting:
    """Nonlinear first layer: conv + ReLU. YOPO-5-10."""
    if model is None:
        model = SmallCNN()
        nn.init.normal_(model.classifier.fc3.weight, std=0.1)  # it starts at zero, and so would p
    features = model.feature_extractor
    network = CutNetwork(
        model,
        lambda u: F.relu(features.conv1(u)),
        lambda out: model.classifier(features[2:](out).flatten(1)),
        tuple(features.conv1.parameters()),
    )
    layer = {"stride": 1, "padding": 0, "dilation": 1, "activation": "relu"}
    return Setting(network, layer, (8, 1, 28, 28), 5, 10, 0.3, 0.01)


def preact_resnet(model: nn.Module | None = None) -> Setting:
    """Linear first layer: a bare convolution. YOPO-3-5."""
    model = model or PreActResNet18()
    network = CutNetwork(
        model,
        model.conv1,
        lambda out: model.linear(
            F.adaptive_avg_pool2d(model.layer4(model.layer3(model.layer2(model.layer1(out)))), 1).flatten(1)
        ),
        tuple(model.conv1.parameters()),
    )
    layer = {"stride": 1, "padding": 1, "dilation": 1, "activation": "identity"}
    return Setting(network, layer, (8, 3, 16, 16), 3, 5, 8 / 255, 2 / 255)


@dataclass
class Recorder:
    """What `YOPO.accumulate` ascended from in each pass, p, and η before and after each of its n steps."""

    passes: list[tuple[Tensor, list[Tensor]]] = field(default_factory=list)

    def watch(self, yopo: YOPO) -> None:
        ascend = yopo.first_layer.ascend

        def recorded(ball, feasible, eta, p, *, steps, **options):
            etas = [eta]
            for _ in range(steps):
                etas.append(ascend(ball, feasible, etas[-1], p, steps=1, **options))
            after = ascend(ball, feasible, eta, p, steps=steps, **options)
            assert torch.equal(after, etas[-1]), "n steps in one call are n calls of one step, bit for bit"
            self.passes.append((p.clone(), etas))
            return after

        yopo.first_layer.ascend = recorded


@dataclass
class Judge:
    """Compares step by step; at a flip the literal run goes on with our η."""

    setting: Setting
    x: Tensor
    passes: list[tuple[Tensor, list[Tensor]]]
    scale: float
    flips: int = 0

    def __call__(self, step: Step) -> Tensor:
        if step.full_pass == len(self.passes):  # with "backprop" the last pass's steps would be thrown away
            return step.eta_after
        where = f"step {step.number} of pass {step.full_pass}"
        p, etas = self.passes[step.full_pass]
        before, after = etas[step.number : step.number + 2]
        assert (before - step.eta).abs().max() <= ROUNDING, f"eta before {where}"
        p = p * self.scale
        assert distance(p, step.costate) < TOLERANCE, f"p of pass {step.full_pass}"
        undecided = self._undecided(step, (p - step.costate).abs())
        excused = (undecided & (step.g != 0)).float().mean()
        assert excused <= MOST_UNDECIDED, "a comparison that excuses so much would show nothing"
        differs = (after - step.eta_after).abs() > ROUNDING
        assert not (differs & ~undecided).any(), f"eta after {where}, beyond the error band"
        assert differs.float().mean() <= MOST_FLIPS, f"{int(differs.sum())} flips in {where}"
        self.flips += int(differs.sum())
        return torch.where(differs, after, step.eta_after)

    def _undecided(self, step: Step, p_error: Tensor) -> Tensor:
        """Where rounding may decide the sign of g."""
        weight, *bias = (parameter.detach() for parameter in self.setting.network.parameters)
        geometry = {name: self.setting.layer[name] for name in ("stride", "padding", "dilation")}
        problem = Problem(self.x, step.eta, step.costate, weight, bias[0] if bias else None, self.setting.layer)
        from_p = torch.nn.grad.conv2d_input(self.x.shape, weight.abs(), p_error, **geometry)
        error = 2 * gradient_error_bound(problem) + from_p  # twice, for the literal run is in float32 as well
        return (step.g.abs() <= error) & (error > 0)


def distance(ours: Tensor, literal: Tensor) -> float:
    return float((ours - literal).norm() / literal.norm().clamp(min=1e-12))


def compare(
    make: Callable[..., Setting],
    first_layer_grad: str,
    reduction: str,
    spoil: Callable[[YOPO], None] = lambda yopo: None,
    deviation: dict[str, object] | None = None,
) -> int:
    """Runs both and compares; returns the number of flips.

    To show that it can fail: `spoil` changes our side, `deviation` the arguments of the literal one.
    """
    torch.manual_seed(0)
    setting = make()
    # Some pixels lie on the edge of the box, as they do in real images.
    x = (1.4 * torch.rand(setting.size) - 0.2).clamp(0, 1)
    y = torch.arange(setting.size[0]) % 10
    literal = make(copy.deepcopy(setting.network.model).train())
    model = setting.network.model.train()
    yopo = YOPO(
        model, model.first_layer, **setting.budget, reduction=reduction, first_layer_grad=first_layer_grad,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert yopo.explain(x).path == "operator"
    recorder = Recorder()
    recorder.watch(yopo)
    spoil(yopo)
    torch.manual_seed(2)
    yopo.accumulate(x, y)

    scale = setting.m if reduction == "mean" else 1
    judge = Judge(literal, x, recorder.passes, scale)
    torch.manual_seed(2)
    literal_yopo.mini_batch(
        literal.network, x, y, generator=torch.Generator().manual_seed(1), take_over=judge,
        **{**setting.budget, "first_layer_grad": first_layer_grad, **(deviation or {})},
    )  # fmt: skip
    assert len(recorder.passes) == setting.m - (first_layer_grad == "backprop")
    for (name, ours), theirs in zip(model.named_parameters(), literal.network.model.parameters(), strict=True):
        assert distance(ours.grad * scale, theirs.grad) < TOLERANCE, f"gradient of {name}"
    for (name, ours), theirs in zip(model.named_buffers(), literal.network.model.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    return judge.flips


@pytest.fixture(autouse=True)
def _small_batches(one_thread: None) -> None:
    """Two threads on a busy machine wait for each other longer than they work."""


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("first_layer_grad", ["hamiltonian", "backprop", "both"])
@pytest.mark.parametrize("make", [small_cnn, preact_resnet])
def test_a_mini_batch_is_the_authors(make, first_layer_grad, reduction):
    compare(make, first_layer_grad, reduction)


@pytest.mark.parametrize(
    ("deviation", "seen_in"),
    [
        ({"n": 9}, "eta before step 0 of pass 1"),
        ({"alpha": 0.0101}, "eta after step 0 of pass 0"),
        ({"eps": 0.299}, "eta before step 0 of pass 0"),
        ({"m": 4}, "gradient of "),
        ({"first_layer_grad": "both"}, "gradient of feature_extractor.conv1.weight"),
        ({"first_layer_grad": "backprop"}, "gradient of feature_extractor.conv1.weight"),
    ],
    ids=str,
)
def test_another_algorithm_is_noticed(deviation, seen_in):
    with pytest.raises(AssertionError, match=seen_in):
        compare(small_cnn, "hamiltonian", "mean", deviation=deviation)


def gradient_at_the_old_eta(yopo: YOPO) -> None:
    add, ascend, old = yopo.first_layer.accumulate_hamiltonian, yopo.first_layer.ascend, []

    def remembering(ball, feasible, eta, p, **options):
        old.append(feasible.x + eta)
        return ascend(ball, feasible, eta, p, **options)

    yopo.first_layer.ascend = remembering
    yopo.first_layer.accumulate_hamiltonian = lambda u, p, **where: add(old[-1], p)


def stale_costate(yopo: YOPO) -> None:
    catch, kept = yopo._pass, []

    def first_one(*arguments):
        loss, logits, p = catch(*arguments)
        kept.append(p)
        return loss, logits, kept[0]

    yopo._pass = first_one


def activation_left_out(yopo: YOPO) -> None:
    yopo.first_layer.modules = yopo.first_layer.modules[:1]


def another_start(yopo: YOPO) -> None:
    yopo.generator.manual_seed(3)


@pytest.mark.parametrize(
    ("spoil", "seen_in"),
    [
        (gradient_at_the_old_eta, "gradient of feature_extractor.conv1.weight"),
        (stale_costate, "p of pass 1"),
        (activation_left_out, "p of pass 0"),
        (another_start, "eta before step 0 of pass 0"),
    ],
)
def test_a_fault_of_ours_is_noticed(spoil, seen_in):
    with pytest.raises(AssertionError, match=seen_in):
        compare(small_cnn, "hamiltonian", "mean", spoil=spoil)
