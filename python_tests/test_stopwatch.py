# SPDX-License-Identifier: MIT

import copy
import pickle
import time

import pytest
import torch

from yopo_ext.stopwatch import NoStopwatch, Stopwatch


def test_spans_add_up_and_nest():
    stopwatch = Stopwatch()
    for _ in range(2):
        with stopwatch.span("outer"):
            time.sleep(0.01)
            with stopwatch.span("inner"):
                time.sleep(0.02)
    totals = stopwatch.totals()
    assert list(totals) == ["outer", "inner"]
    assert totals["inner"] >= 0.04
    assert totals["outer"] >= totals["inner"] + 0.02
    stopwatch.reset()
    assert stopwatch.totals() == {}


def test_a_span_inside_its_own_name_counts_once():
    stopwatch = Stopwatch()
    begin = time.perf_counter()
    with stopwatch.span("a"), stopwatch.span("a"):
        time.sleep(0.02)
    assert 0.02 <= stopwatch.totals()["a"] <= time.perf_counter() - begin


def test_a_span_that_raises_is_closed():
    stopwatch = Stopwatch()

    def interrupted():
        with stopwatch.span("a"):
            time.sleep(0.01)
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            interrupted()
    assert stopwatch.totals()["a"] >= 0.02


def test_copies_carry_the_totals_but_no_open_span():
    stopwatch = Stopwatch()
    with stopwatch.span("a"):
        pass
    with stopwatch.span("b"):
        twins = [copy.deepcopy(stopwatch), pickle.loads(pickle.dumps(stopwatch))]
    for twin in twins:
        before = twin.totals()
        assert before["a"] > 0
        with twin.span("b"):
            time.sleep(0.001)
        assert twin.totals()["b"] >= 0.001


def test_no_stopwatch_measures_nothing():
    stopwatch = NoStopwatch()
    with stopwatch.span("a"):
        pass
    stopwatch.reset()
    assert stopwatch.totals() == {}


class FakeEvent:
    """A CUDA event that passes when the test says so."""

    clock = 0.0
    passed = 0.0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = FakeEvent.clock

    def query(self):
        return self.time <= FakeEvent.passed

    def synchronize(self):
        FakeEvent.passed = max(FakeEvent.passed, self.time)

    def elapsed_time(self, end):
        assert end.query()
        return end.time - self.time


def test_cuda_events_are_read_only_once_they_have_passed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    stopwatch = Stopwatch("cuda:0")
    for _ in range(3):
        with stopwatch.span("a"):
            FakeEvent.clock += 1000.0
    assert FakeEvent.passed == 0.0  # nothing waited
    assert len(stopwatch._pending) == 3
    FakeEvent.passed = 2000.0
    with stopwatch.span("b"):
        FakeEvent.clock += 500.0
    assert len(stopwatch._pending) == 2
    assert stopwatch.totals() == {"a": 3.0, "b": 0.5}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_time_is_measured():
    stopwatch = Stopwatch("cuda")
    with stopwatch.span("a"):
        torch.cuda._sleep(50_000_000)
    assert stopwatch.totals()["a"] > 0.005
