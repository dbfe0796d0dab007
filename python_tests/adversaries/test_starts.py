# SPDX-License-Identifier: MIT
"""Each start against its literal algorithm, image by image, through crop and flip."""

import pytest
import torch
from passes import batch, counted, gradients, relu_net, seeded
from torch.nn import functional as F

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM, PGD, YOPOAttack
from yopo_ext.adversaries.consistency import Consistency
from yopo_ext.adversaries.starts import (
    STARTS,
    Momentum,
    PerClass,
    PreviousBatch,
    PreviousEpoch,
    Shared,
    Start,
    Uniform,
    Zero,
)
from yopo_ext.data import Batch
from yopo_ext.data.augment import place, take_back
from yopo_ext.data.batch import Placement

EPS, ALPHA, SHAPE, PADDING = 0.06, 0.05, (2, 6, 6), 4
BALL = Ball(EPS, ALPHA)
E, A = (torch.tensor(value).double() for value in (EPS, ALPHA))  # rounded to float32, as a ball's are


def project(eta, x):
    return eta.clamp(-E, E).clamp(0 - x, 1 - x)


def gradient(model, x, eta, y):
    leaf = eta.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x + leaf), y), leaf)[0]


def visits(count=9, epochs=3, size=4, placed=True):
    """Mini-batches of a set of so many images, shuffled and shifted anew in each epoch."""
    draws, (x, y) = seeded(7), batch(count)
    for _ in range(epochs):
        order = torch.randperm(count, generator=draws)
        for index in order.split(size):
            n = len(index)
            top, left = torch.randint(-PADDING, PADDING + 1, (2, n), generator=draws)
            placement = Placement(top, left, torch.rand(n, generator=draws) < 0.5) if placed else None
            images = x[index] if placement is None else place(x[index], placement)
            yield Batch(images, y[index], index, placement)


def run(adversary, batches):
    """The perturbation of each mini-batch; the weights stay."""
    found = []
    for one in batches:
        adversary.see(one)
        adversary.accumulate(one.x, one.y)
        adversary.settle()
        found.append(adversary.eta)
    return found


class Literal:
    """One canvas an image, in Python's own slices."""

    def __init__(self, canvases):
        self.canvases = canvases

    def cut(self, one):
        parts = []
        for k, i in enumerate(one.index.tolist()):
            top, left, flipped = (int(part[k]) for part in one.placement) if one.placement else (-PADDING,) * 2 + (0,)
            part = self.canvases[i][:, PADDING + top : PADDING + top + 6, PADDING + left : PADDING + left + 6]
            parts.append(part.flip(-1) if flipped else part)
        return torch.stack(parts)

    def write(self, one, values):
        for k, i in enumerate(one.index.tolist()):
            top, left, flipped = (int(part[k]) for part in one.placement) if one.placement else (-PADDING,) * 2 + (0,)
            part = values[k].flip(-1) if flipped else values[k]
            self.canvases[i][:, PADDING + top : PADDING + top + 6, PADDING + left : PADDING + left + 6] = part


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "as it lies"])
def test_previous_epoch(placed):
    start = PreviousEpoch(9, SHAPE, padding=PADDING if placed else 0, generator=seeded())
    first = start.memory.values.clone()
    assert first.abs().max() <= 127
    assert first.float().std() == pytest.approx(127 / 3**0.5, rel=0.05)
    canvases = first.double()
    literal = Literal(canvases if placed else F.pad(canvases, (0, 8, 0, 8)))
    model, expected = relu_net(), []
    for one in visits(placed=placed):
        eta0 = project(literal.cut(one) / 127 * E, one.x)
        eta = project(eta0 + A * gradient(model, one.x, eta0, one.y).sign(), one.x)
        literal.write(one, (eta / E * 127).round())
        expected.append(eta)
        model(one.x)  # the weights' pass moves nothing but batch norm's running statistics
    found = run(FGSM(relu_net(), BALL, start=start), visits(placed=placed))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    inside = literal.canvases if placed else literal.canvases[..., :6, :6]
    assert torch.equal(start.memory.values.double(), inside)


def test_what_was_found_lies_on_the_same_pixels_in_the_next_epoch():
    """By the loader's own crop and flip: what `take_back` leaves of η is what `place` puts into the next one."""
    start = PreviousEpoch(9, SHAPE, padding=PADDING)
    found, second = {}, 0
    adversary = PGD(relu_net(), Ball(EPS, ALPHA, bounds=None), 0, start=start)  # the start itself is the perturbation
    for step, one in enumerate(visits(epochs=2)):
        adversary.see(one)
        adversary.accumulate(one.x, one.y)
        for k, i in enumerate(one.index.tolist()):
            single = Placement(*(part[k : k + 1] for part in one.placement))
            if step >= 3:
                before, placement = found[i]
                there = place(take_back(torch.ones_like(before), placement), single) == 1
                assert torch.equal(adversary.eta[k : k + 1][there], place(take_back(before, placement), single)[there])
                second += int(there.sum())
            found[i] = adversary.eta[k : k + 1], single
    assert second > 100


def test_momentum():
    start = Momentum(9, SHAPE, padding=PADDING, decay=0.6, generator=seeded())
    literal = Literal(start.memory.values.double())
    momentum = Literal(torch.zeros(9, 2, 14, 14, dtype=torch.float64))
    model, expected, turned = relu_net(), [], 0
    for one in visits():
        eta0 = project(literal.cut(one) / 127 * E, one.x)
        g = gradient(model, one.x, eta0, one.y)
        expected.append(project(eta0 + A * g.sign(), one.x))
        m = 0.6 * momentum.cut(one) + g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        momentum.write(one, m.half().double())
        literal.write(one, (project(eta0 + A * m.half().double().sign(), one.x) / E * 127).round())
        turned += int((m.sign() != g.sign()).sum())
        model(one.x)
    assert turned > 20
    for ours, theirs in zip(run(FGSM(relu_net(), BALL, start=start), visits()), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert torch.equal(start.momentum.values.double(), momentum.canvases)


@pytest.mark.parametrize("kind", [Shared, PerClass])
def test_shared_by_many(kind):
    groups = 1 if kind is Shared else 4  # there is no image of the last class
    start = Shared(SHAPE, generator=seeded()) if kind is Shared else PerClass(4, SHAPE, generator=seeded())
    u, m = start.eta.double().clone(), torch.zeros(groups, *SHAPE, dtype=torch.float64)
    assert set(u.unique().tolist()) == {-1.0, 1.0}
    model, expected = relu_net(), []
    for one in visits():
        group = torch.zeros_like(one.y) if kind is Shared else one.y
        eta0 = project(u[group] * E, one.x)
        g = gradient(model, one.x, eta0, one.y)
        expected.append(project(eta0 + A * g.sign(), one.x))
        for k in group.unique().tolist():
            mean = g[group == k].sum(0)
            m[k] = 0.3 * m[k] + mean / mean.abs().mean()
            u[k] = (u[k] + m[k].sign()).clamp(-1, 1)
        model(one.x)
    for ours, theirs in zip(run(FGSM(relu_net(), BALL, start=start), visits()), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(start.eta.double(), u)
    if kind is PerClass:
        assert start.eta[3].abs().eq(1).all()


def test_previous_batch():
    start = PreviousBatch(generator=seeded())
    found = run(FGSM(relu_net(), BALL, start=start), visits(size=4))  # 4, 4, 1 images an epoch
    model, rows = relu_net(), Uniform(seeded()).draw(BALL.feasible_set(next(visits()).x), None)
    for one, ours in zip(visits(size=4), found, strict=True):
        eta0 = project(rows[: len(one)], one.x)
        eta = project(eta0 + A * gradient(model, one.x, eta0, one.y).sign(), one.x)
        torch.testing.assert_close(ours, eta, rtol=0, atol=1e-12)
        rows[: len(one)] = eta
        model(one.x)


def test_uniform_and_zero_are_what_they_were():
    x, y = batch()
    for start, random in ((Uniform(seeded()), True), (Zero(), False)):
        ours = PGD(relu_net(), BALL, 2, start=start)
        before = PGD(relu_net(), BALL, 2, random_start=random, generator=seeded())
        for one in (ours, before):
            one.accumulate(x, y)
        assert torch.equal(ours.eta, before.eta)
        assert all(map(torch.equal, gradients(ours.model), gradients(before.model)))
        assert ours.state_dict() == {}


def of(name, norm="linf"):
    return {
        "uniform": lambda: Uniform(seeded()),
        "zero": Zero,
        "previous-batch": lambda: PreviousBatch(seeded()),
        "shared": lambda: Shared(SHAPE, norm=norm, generator=seeded()),
        "class": lambda: PerClass(3, SHAPE, norm=norm, generator=seeded()),
        "previous-epoch": lambda: PreviousEpoch(9, SHAPE, padding=PADDING, norm=norm, generator=seeded()),
        "momentum": lambda: Momentum(9, SHAPE, padding=PADDING, norm=norm, generator=seeded()),
    }[name]()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", STARTS.names)
def test_every_start_stays_in_the_ball_costs_no_pass_and_goes_on_from_its_state(name, norm):
    ball = Ball(0.3, 0.2, norm=norm)
    whole, half = [PGD(relu_net(), ball, 1, start=of(name, norm)) for _ in range(2)]
    batches = list(visits())
    with counted(whole.model) as passes:
        expected = run(whole, batches)
    assert (passes.forward, passes.backward) == (2 * len(batches), 2 * len(batches))
    run(half, batches[:5])
    again = PGD(half.model, ball, 1, start=of(name, norm))
    again.load_state_dict(half.state_dict())
    if half.generator is not None:
        again.generator.set_state(half.generator.get_state())
    found = run(again, batches[5:])
    assert all(map(torch.equal, found, expected[5:]))
    for eta, one in zip(expected, batches, strict=True):
        lengths = eta.flatten(1).norm(dim=1) if norm == "l2" else eta.abs().flatten(1).amax(1)
        assert lengths.max() <= 0.3 + 1e-6
        assert ((one.x + eta >= -1e-12) & (one.x + eta <= 1 + 1e-12)).all()
        assert eta.any()


EACH_WAY = list(zip(STARTS.names, ["graph", "detached"] * len(STARTS.names), strict=False))


@pytest.mark.parametrize(("name", "outputs"), EACH_WAY)
def test_one_step_inside_the_first_layer_from_there_is_fgsm(name, outputs):
    """Its gradient comes from the co-state of the first pass, its outputs at the start from that pass or their own."""
    consistency = [Consistency(2.0, outputs) for _ in range(2)]
    fast = FGSM(relu_net(), BALL, start=of(name), consistency=consistency[0])
    model = relu_net()
    inside = YOPOAttack(model, (model[0], model[1]), BALL, 1, 1, start=of(name), consistency=consistency[1])
    for expected, found in zip(run(fast, visits(epochs=2)), run(inside, visits(epochs=2)), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    for ours, theirs in zip(gradients(inside.model), gradients(fast.model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    for key, value in fast.state_dict().items():
        torch.testing.assert_close(inside.state_dict()[key], value, rtol=1e-3, atol=1e-5)


def test_a_memory_grows_with_its_ball():
    start = PreviousEpoch(9, SHAPE, padding=PADDING)
    one = next(visits())
    small, large = (PGD(relu_net(), Ball(eps, 0.1, bounds=None), 0, start=start) for eps in (0.1, 0.2))
    run(small, [one])
    run(large, [one])
    torch.testing.assert_close(large.eta, 2 * small.eta, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", [Shared, PerClass, PreviousEpoch, Momentum])
@pytest.mark.parametrize("norms", [("linf", "l2"), ("l2", "linf")])
def test_a_ball_of_another_norm_is_refused(kind, norms):
    own, other = norms
    count = {Shared: (), PerClass: (3,)}.get(kind, (9,))
    adversary = FGSM(relu_net(), Ball(EPS, ALPHA, norm=other), start=kind(*count, SHAPE, norm=own))
    one = next(visits(placed=False))
    adversary.see(one)
    with pytest.raises(ValueError, match=f"start: got a ball of norm {other}, expected {own}, the start's"):
        adversary.accumulate(one.x, one.y)


def test_what_is_refused():
    x, y = batch()
    seen = next(visits())
    images = PreviousEpoch(9, SHAPE, padding=PADDING)
    with pytest.raises(RuntimeError, match=r"expected see\(batch\) before"):
        FGSM(relu_net(), BALL, start=images).accumulate(x, y)
    with pytest.raises(ValueError, match="start: got a mini-batch without an index"):
        images.see(Batch(x, y))
    with pytest.raises(ValueError, match="start: got index 0 to 9, expected 0 to 8"):
        images.see(Batch(x[:2], y[:2], torch.tensor([0, 9])))
    with pytest.raises(ValueError, match="shifted by 5 pixels, expected at most padding=4"):
        images.see(Batch(x[:1], y[:1], torch.zeros(1).long(), Placement(*torch.tensor([[5], [0], [0]]))))
    images.see(seen)
    with pytest.raises(ValueError, match=r"start: got images \(6, 2, 6, 6\), expected \(4, 2, 6, 6\)"):
        FGSM(relu_net(), BALL, start=images).accumulate(x, y)
    with pytest.raises(TypeError, match=r"start class: got targets torch\.float64 of shape"):
        FGSM(relu_net(), BALL, start=PerClass(3, SHAPE)).accumulate(x, F.one_hot(y, 3).double())
    with pytest.raises(ValueError, match="start class: got targets from 0 to 2, expected 0 to 1"):
        FGSM(relu_net(), BALL, start=PerClass(2, SHAPE)).accumulate(x, y)
    with pytest.raises(ValueError, match="random_start: got False with start Zero"):
        FGSM(relu_net(), BALL, start=Zero(), random_start=False)
    with pytest.raises(TypeError, match=r"start: got str, expected one of yopo_ext\.adversaries\.starts"):
        FGSM(relu_net(), BALL, start="zero")
    with pytest.raises(ValueError, match="steps: got 0 with start Shared, which looks at the first step"):
        PGD(relu_net(), BALL, 0, start=Shared(SHAPE)).accumulate(x, y)
    for build in (Shared, lambda shape, decay: Momentum(3, shape, decay=decay)):
        with pytest.raises(ValueError, match=r"start_decay: got 1\.0"):
            build(SHAPE, decay=1.0)
    for build in (Shared, lambda shape, norm: PerClass(3, shape, norm=norm)):
        with pytest.raises(ValueError, match="norm: got 'l1', expected one of 'linf', 'l2'"):
            build(SHAPE, norm="l1")
    with pytest.raises(ValueError, match="padding: got -1"):
        PreviousEpoch(9, SHAPE, padding=-1)
    with pytest.raises(TypeError, match=r"images: got 2\.5"):
        PreviousEpoch(2.5, SHAPE)
    with pytest.raises(ValueError, match=r"shape: got \(6, 6\), expected \(C, H, W\)"):
        Shared((6, 6))
    with pytest.raises(ValueError, match="classes: got 0"):
        PerClass(0, SHAPE)
    with pytest.raises(TypeError, match="start_decay: got 'x'"):
        Momentum(3, SHAPE, decay="x")
    with pytest.raises(TypeError, match=r"start: got an index torch\.float32 of shape \(6,\), expected"):
        images.see(Batch(x, y, torch.zeros(6)))
    with pytest.raises(ValueError, match="start: got a mini-batch without an index"):
        images.see((x, y))
    with pytest.raises(ValueError, match=r"start: needs .* MB on cpu, of which .* MB are free"):
        PreviousEpoch(10**9, (3, 224, 224), padding=4)
    assert isinstance(images, Start)
