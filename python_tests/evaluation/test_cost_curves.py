# SPDX-License-Identifier: MIT
"""Accuracy over seconds and units: what is on the front, what given accuracies cost."""

import io

import pytest

from yopo_ext.evaluation import CurvePoint, first_at_least, pareto_front, plot_accuracy_time
from yopo_ext.evaluation.cost_curves import usual_thresholds

# seconds, clean, robust, units
SLOW = [CurvePoint(4.0, 60.0, 20.0, 7.0), CurvePoint(8.0, 70.0, 41.0, 14.0), CurvePoint(12.0, 75.0, 39.0, 21.0)]
QUICK = [CurvePoint(1.0, 60.0, 20.0, 5.0), CurvePoint(2.0, 70.0, 30.0, 10.0), CurvePoint(13.0, 70.0, 41.0, 15.0)]
CURVES = {"slow": SLOW, "quick": QUICK}


def front(curves, cost):
    return [(name, point.cost(cost), point.robust) for name, point in pareto_front(curves, cost)]


def test_the_front_is_what_nothing_cheaper_beats():
    # As robust as a cheaper point is not enough.
    assert front(CURVES, "seconds") == [("quick", 1.0, 20.0), ("quick", 2.0, 30.0), ("slow", 8.0, 41.0)]
    assert front(CURVES, "units") == [("quick", 5.0, 20.0), ("quick", 10.0, 30.0), ("slow", 14.0, 41.0)]
    assert front({**CURVES, "better": [CurvePoint(1.0, 50.0, 45.0)]}, "seconds") == [("better", 1.0, 45.0)]
    # Of two points of one cost the more robust one.
    assert front({"a": [CurvePoint(1, 9, 3)], "b": [CurvePoint(1, 9, 4)]}, "seconds") == [("b", 1, 4)]
    assert front({"a": [CurvePoint(1, 9, 3)]}, "units") == []


def test_the_first_point_that_is_robust_enough():
    assert first_at_least(SLOW, 20.0) is SLOW[0]
    assert first_at_least(SLOW, 39.0) is SLOW[1]  # not the last: it had been there before
    assert first_at_least(SLOW, 41.5) is None


def test_usual_thresholds_are_those_that_one_comes_to():
    assert usual_thresholds(CURVES) == [20, 30, 40]
    assert usual_thresholds({"a": [CurvePoint(1, 99, 12.5)], "b": []}) == [10]
    assert usual_thresholds({"a": [CurvePoint(1, 99, 97.0)]}) == [70, 80, 90]
    assert usual_thresholds({}) == []


def size(curves):
    target = io.BytesIO()
    plot_accuracy_time(curves, target, title="title")
    content = target.getvalue()
    return tuple(int.from_bytes(content[at : at + 4], "big") for at in (16, 20)), content


def test_units_have_a_panel_of_their_own_and_the_front_is_ringed(monkeypatch):
    one_panel, _ = size({"old": [CurvePoint(1.0, 50.0, 20.0)], "natural": []})
    two_panels, drawn = size({**CURVES, "old": [CurvePoint(1.0, 50.0, 20.0)]})
    assert (one_panel, two_panels) == ((1260, 600), (1890, 600))
    monkeypatch.setattr("yopo_ext.evaluation.plots.pareto_front", lambda curves, cost: [])
    assert size({**CURVES, "old": [CurvePoint(1.0, 50.0, 20.0)]})[1] != drawn
    assert size({"slow": SLOW})[0] == (1890, 600)


@pytest.mark.parametrize("cost", ["seconds", "units"])
def test_a_point_knows_its_costs(cost):
    assert CurvePoint(1.0, 2.0, 3.0, 4.0).cost(cost) == {"seconds": 1.0, "units": 4.0}[cost]
