# SPDX-License-Identifier: MIT

import pytest
import torch

from yopo_ext.training.schedules import ramp, warmed_up
from yopo_ext.training.schedules.cosine import cosine
from yopo_ext.training.schedules.cyclic import cyclic
from yopo_ext.training.schedules.one_cycle import one_cycle
from yopo_ext.training.schedules.piecewise import piecewise


def test_the_rate_drops_when_a_milestone_is_reached():
    rate = piecewise(0.2, (2, 4, 4), 0.1)
    assert [rate(epoch) for epoch in range(6)] == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.0002, 0.0002])
    assert rate(1.99) == 0.2


def test_without_milestones_it_stays():
    assert {piecewise(0.3, (), 0.1)(epoch) for epoch in (0, 50)} == {0.3}


def of_torch(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_is_torchs():
    expected = of_torch(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20), 20)
    assert [cosine(0.2, 20)(epoch) for epoch in range(20)] == pytest.approx(expected)


def test_one_cycle_is_torchs():
    # torch reaches its end at the last of its steps, and its peak at step 0.3 · total - 1.
    steps = 1000
    expected = of_torch(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.2, total_steps=steps), steps)
    ours = [one_cycle(0.2, 10)(10 * step / (steps - 1)) for step in range(steps)]
    assert ours == pytest.approx(expected, abs=0.002)
    assert ours[0] == pytest.approx(0.2 / 25)
    assert max(ours) == pytest.approx(0.2, abs=1e-5)
    assert ours[-1] == pytest.approx(0.2 / 25e4)


def test_cyclic_is_one_triangle():
    rate = cyclic(0.2, 10)
    assert [rate(epoch) for epoch in (0, 2.5, 5, 7.5, 10)] == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def test_a_warm_up_multiplies():
    rate = warmed_up(piecewise(0.2, (2,), 0.1), 4)
    assert [rate(epoch) for epoch in (0, 1, 2, 4, 5)] == pytest.approx([0, 0.05, 0.01, 0.02, 0.02])
    assert ramp(0, 0) == 1.0
