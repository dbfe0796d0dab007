# SPDX-License-Identifier: MIT
"""The equations of the maximum principle, written out literally on small networks; and what is no chain."""

import pytest
import torch
from passes import batch, relu_net, require_untouched, untouched
from torch import nn
from torch.nn.functional import cross_entropy

import yopo_ext
from yopo_ext import YOPO, Ball
from yopo_ext.adversaries import pgd
from yopo_ext.principle import plot_principle, trajectory

EPS, DECAY = 0.1, 0.05
BALL = Ball(EPS, 0.02)


def crafted(model, x, y):
    return pgd(model.eval(), x, y, eps=EPS, alpha=0.02, steps=5, random_start=False)


def literal(model, x, y, eta):
    """x_t, p_t and the gradients of L + R, by one pass through a sequence that is cut as `chain_of` cuts it."""
    parts = [model[:2], model[2:5], model[5:]]
    states = [(x + eta).requires_grad_()]
    for part in parts:
        states.append(part(states[-1]))
    value = cross_entropy(states[-1], y)
    costates = [-g for g in torch.autograd.grad(value, states, retain_graph=True)]
    decay = sum((one**2).sum() for one in model.parameters()) * DECAY / 2
    return parts, states, costates, torch.autograd.grad(value + decay, list(model.parameters()))


def test_it_is_the_equations_written_out():
    model = relu_net(dropout=0.5).eval()
    x, y = batch()
    eta = crafted(model, x, y)
    parts, states, costates, descent = literal(model, x, y, eta)
    found = yopo_ext.maximum_principle(model, x, y, eta=eta, ball=BALL, weight_decay=DECAY)
    followed = trajectory(model, x + eta, y)
    for ours, theirs in zip((*followed.states, *followed.costates), (*states, *costates), strict=True):
        torch.testing.assert_close(ours, theirs.detach())
    assert found.loss == pytest.approx(float(cross_entropy(states[-1], y).detach()))
    start = 0
    for t, part in enumerate(parts):
        # H_t, with R_t / B summed over the batch, in the paper's sign.
        theta = list(part.parameters())
        regular = sum((one**2).sum() for one in theta) * DECAY / 2
        h = (costates[t + 1] * part(states[t].detach())).sum() - regular
        ascent = torch.autograd.grad(h, theta)
        norm = torch.cat([one.flatten() for one in ascent]).norm()
        assert found.layers[t].ascent == pytest.approx(float(norm))
        for one, other in zip(ascent, descent[start : start + len(theta)], strict=True):
            torch.testing.assert_close(one, -other)  # Theorem 2
        start += len(theta)
    assert max(found.worst(name) for name in ("state", "costate", "sgd")) < 1e-14
    h0 = [float((costates[1] * parts[0](u)).sum().detach()) for u in (x, x + eta)]
    assert (found.adversary.clean, found.adversary.found) == pytest.approx(h0)


def test_the_adversary_s_best_answer_is_exact_for_a_linear_first_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    x, y = batch()
    eta = 0.3 * crafted(model, x, y)
    found = yopo_ext.maximum_principle(model, x, y, eta=eta, ball=BALL).adversary
    p = trajectory(model, x + eta, y).costates[1]
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((p * model[0](leaf)).sum(), leaf)
    corner = torch.where(slope > 0, (-x).clamp(min=-EPS), (1 - x).clamp(max=EPS))
    assert found.least == pytest.approx(float((p * model[0](x + corner)).sum().detach()))
    assert found.gap > 0
    assert 0 < found.reached < 1
    best = yopo_ext.maximum_principle(model, x, y, eta=corner, ball=BALL)
    assert best.adversary.gap >= 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_random_perturbation_beats_the_least_that_was_found(norm):
    model, (x, y) = relu_net().eval(), batch()
    ball = Ball(EPS, 0.02, norm=norm)
    found = yopo_ext.maximum_principle(model, x, y, ball=ball).adversary
    p = trajectory(model, x, y).costates[1]
    feasible = ball.feasible_set(x)
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        eta = feasible.project(EPS * torch.randn(x.shape, generator=generator, dtype=x.dtype).sign())
        assert float((p * model[:2](x + eta)).sum()) >= found.least
    assert found.found == found.clean
    assert found.reached == 0


def test_what_yopo_s_inner_steps_leave_stale_is_the_first_state_alone():
    model, (x, y) = relu_net().eval(), batch()
    yopo = YOPO(model, (model[0], model[1]), 1, 5, EPS, 0.02, generator=torch.Generator().manual_seed(0))
    seen = []
    handle = model.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    yopo.accumulate(x, y)
    handle.remove()
    last = trajectory(model, seen[-1], y)
    stale = yopo_ext.maximum_principle(model, x, y, eta=yopo.eta, ball=BALL, at=last)
    assert stale.layers[0].state > 1e-3
    for one in stale.layers[1:]:
        assert (one.state, one.costate) == (0, 0)
    fresh = yopo_ext.maximum_principle(model, x, y, eta=yopo.eta, ball=BALL)
    assert fresh.worst("state") < 1e-14
    # By the co-state that it had, YOPO has nearly solved the adversary's problem.
    assert stale.adversary.reached > 0.5


def test_a_step_of_the_weights_makes_every_layer_stale():
    model, (x, y) = relu_net().eval(), batch()
    last = trajectory(model, x, y)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.1 * torch.randn_like(one))
    stale = yopo_ext.maximum_principle(model, x, y, at=last)
    assert all(one.state > 1e-3 and one.costate > 1e-3 for one in stale.layers)


def test_the_model_is_left_as_it_was():
    model, (x, y) = relu_net(dropout=0.5).train(), batch()
    model[0].weight.requires_grad_(False)
    before, state = untouched(model), {name: one.clone() for name, one in model.state_dict().items()}
    with torch.inference_mode():
        found = yopo_ext.maximum_principle(model, x, y, ball=BALL)
    require_untouched(model, before)
    assert model.training
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())
    assert found.layers[0].ascent is not None


class Skip(nn.Module):
    """Three layers, and something past or between them."""

    def __init__(self, kind=""):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Linear(72, 3)
        self.kind = kind

    def forward(self, x):
        h = self.a(x + 1 if self.kind == "shift" else x)
        h = self.b(h.relu() if self.kind == "function" else h) + (x if self.kind == "skip" else 0)
        if self.kind == "unused":
            return h.flatten(1)
        out = self.c(h.flatten(1))
        if self.kind == "after":
            return 2 * out
        return {"logits": out, "aux": h} if self.kind == "aux" else out


def parts_of(model):
    return [model.a, model.b, (lambda x: x.flatten(1), model.c)]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shift", r"part 0 \(a\): its output differs from the network's own, relative error 0\.\d+; expected the"),
        ("function", r"part 1 \(b\): its output differs from the network's own"),
        ("skip", r"part 2 \(c\): its output differs from the network's own"),
        ("unused", r"part 2 \(c\) was never called"),
        ("after", r"the network's outputs, of shape \(6, 3\), are not those of its last part \(c\)"),
    ],
)
def test_a_network_that_is_not_the_composition_of_its_parts_is_refused(kind, message):
    model, (x, y) = Skip(kind), batch()
    with pytest.raises(ValueError, match=message):
        yopo_ext.maximum_principle(model, x.float(), y, chain=parts_of(model))
    assert not any(one._forward_hooks for one in model.modules())


def test_parts_that_do_not_fit_one_another_are_refused():
    model, (x, y) = Skip(), batch()
    x = x.float()
    with pytest.raises(ValueError, match=r"part 2 \(c\) does not take what the network has before it: .*expected the"):
        yopo_ext.maximum_principle(model, x, y, chain=[model.a, model.b, model.c])
    with pytest.raises(ValueError, match=r"part 1 \(a\) is called out of turn, or a second time"):
        yopo_ext.maximum_principle(model, x, y, chain=[model.b, model.a, parts_of(model)[2]])
    assert yopo_ext.maximum_principle(model, x, y, chain=parts_of(model)).worst("state") == 0


def test_a_loss_that_sees_more_than_the_last_part_is_refused():
    model, (x, y) = Skip("aux"), batch()

    def loss(outputs, y):
        return cross_entropy(outputs["logits"], y) + outputs["aux"].square().mean()

    with pytest.raises(ValueError, match=r"the loss depends on what goes into part 2 \(c\) past its output too"):
        yopo_ext.maximum_principle(model, x.float(), y, chain=parts_of(model), loss=loss)
    found = yopo_ext.maximum_principle(
        model, x.float(), y, chain=parts_of(model), loss=lambda outputs, y: cross_entropy(outputs["logits"], y)
    )
    assert found.worst("costate") < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": torch.zeros(1)}, r"eta: got shape \(1,\)"),
        ({"eta": torch.ones(6, 2, 6, 6).double(), "ball": BALL}, "eta: got one that is 1 outside of the ball"),
    ],
)
def test_bad_arguments(options, message):
    model, (x, y) = relu_net(), batch()
    with pytest.raises(ValueError, match=message):
        yopo_ext.maximum_principle(model, x, y, **options)


def test_a_pass_of_another_network_or_batch():
    model, (x, y) = relu_net(), batch()
    other = trajectory(relu_net(), x, y)
    with pytest.raises(ValueError, match="at: got the pass of another network"):
        yopo_ext.maximum_principle(model, x, y, at=other)
    with pytest.raises(ValueError, match=r"at: got a pass over \(6, 2, 6, 6\), expected \(3, 2, 6, 6\)"):
        yopo_ext.maximum_principle(model, x[:3], y[:3], at=trajectory(model, x, y))


def test_the_table_and_the_picture(tmp_path):
    model, (x, y) = relu_net(), batch()
    found = yopo_ext.maximum_principle(model, x, y, ball=BALL)
    lines = str(found).splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [["0", "0"], ["1", "2"], ["2", "5"]]
    assert lines[5].startswith("adversary (5): H_0 is ")
    assert found.to_dict()["adversary"]["gap"] == found.adversary.gap
    plot_principle([("epoch 1", found), ("epoch 2", found)], tmp_path / "p.png", title="test")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
