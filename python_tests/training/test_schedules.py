# SPDX-License-Identifier: MIT

import pytest

from yopo_ext.training.schedules import piecewise


def test_the_rate_drops_when_a_milestone_is_reached():
    rate = piecewise(0.2, (2, 4, 4), 0.1)
    assert [rate(epoch) for epoch in range(6)] == pytest.approx([0.2, 0.2, 0.02, 0.02, 0.0002, 0.0002])


def test_without_milestones_it_stays():
    assert {piecewise(0.3, (), 0.1)(epoch) for epoch in (0, 50)} == {0.3}
