# SPDX-License-Identifier: MIT

from itertools import pairwise

import pytest
import torch
from passes import batch, relu_net
from torch import nn
from torch.nn.functional import cross_entropy

from yopo_ext.adversaries import random_start
from yopo_ext.evaluation import Staleness, plot_staleness, staleness

EPS, ALPHA = 0.3, 0.1


def measured(model, first_layer, n=4, **options):
    x, y = batch(dtype=torch.float64) if "dtype" in options else batch()
    return staleness(model, first_layer, x, y, eps=EPS, alpha=ALPHA, n=n, **options)


def test_p_is_fresh_at_the_first_step():
    model = relu_net().eval()
    found = measured(model, (model[0], model[1]))
    assert found.cosine[0] == pytest.approx(1.0)
    assert found.sign_agreement[0] == pytest.approx(1.0)
    assert found.gain[0] == pytest.approx(found.fresh_gain[0])
    assert [len(one) for one in (found.cosine, found.sign_agreement, found.gain, found.fresh_gain)] == [4] * 4


def test_behind_the_first_layer_a_linear_network_lets_nothing_grow_stale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    # A loss that is linear in the logits: p does not depend on η at all.
    found = measured(model, (model[0], model[1]), loss=lambda logits, y: logits[:, 0].sum())
    assert found.cosine == pytest.approx([1.0] * 4)


def test_a_network_that_curves_makes_it_stale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3))
    model = model.double()
    with torch.no_grad():
        model[2].weight *= 8
    found = measured(model, (model[0], model[1]))
    assert found.cosine[0] == pytest.approx(1.0)
    assert found.cosine[-1] < 0.99
    assert all(one <= 1.0 + 1e-9 for one in found.cosine)


def test_gains_add_up_to_the_losses_difference():
    model = relu_net().eval()
    x, y = batch()
    found = measured(model, (model[0], model[1]))
    eta0 = random_start(x, eps=EPS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        start = float(cross_entropy(model(x + eta0), y))
    assert start + sum(found.gain) > start
    again = measured(model, (model[0], model[1]))
    assert again == found


def literal_losses(model, x, y, eta, n):
    """Of n sign steps along the gradient at the start."""
    leaf = eta.clone().requires_grad_()
    g = torch.autograd.grad(cross_entropy(model(x + leaf), y), leaf)[0]
    losses = []
    for _ in range(n):
        losses.append(cross_entropy(model(x + eta), y).item())
        eta = torch.clamp((eta + ALPHA * g.sign()).clamp(-EPS, EPS), -x, 1 - x)
    return [*losses, cross_entropy(model(x + eta), y).item()]


def test_what_n_buys_is_the_difference_to_the_first_gradient_repeated():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    model = model.double()
    with torch.no_grad():
        model[0].weight *= 6
    x, y = batch()
    found = measured(model, tuple(model[:4]))
    eta = random_start(x, eps=EPS, generator=torch.Generator().manual_seed(0))
    losses = literal_losses(model, x, y, eta, 4)
    assert found.repeated_gain == pytest.approx([after - before for before, after in pairwise(losses)])
    assert found.repeated_gain[0] == pytest.approx(found.gain[0])
    assert found.bought[0] == pytest.approx(0, abs=1e-9)
    assert found.bought[-1] == pytest.approx(sum(found.gain) - sum(found.repeated_gain))
    assert found.bought[-1] > 1e-3
    linear = measured(model, model[0])  # its steps are those
    assert linear.gain == pytest.approx(linear.repeated_gain)


def test_logs_without_the_repeated_gradient_are_read(tmp_path):
    old = Staleness([1.0], [1.0], [0.1], [0.1])
    assert old.bought == []
    plot_staleness([("epoch 1", old)], tmp_path / "staleness.png", title="YOPO-5-3")


def test_the_model_is_left_as_it_was():
    model = relu_net(dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(model, (model[0], model[1]))
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_steps():
    with pytest.raises(ValueError, match="n: got 0"):
        measured(relu_net(), relu_net()[0], n=0)


def test_the_figure(tmp_path):
    model = relu_net().eval()
    found = measured(model, (model[0], model[1]))
    plot_staleness([("epoch 1", found), ("epoch 2", found)], tmp_path / "staleness.png", title="YOPO-5-3")
    assert (tmp_path / "staleness.png").read_bytes()[:4] == b"\x89PNG"
