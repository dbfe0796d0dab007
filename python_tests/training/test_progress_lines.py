# SPDX-License-Identifier: MIT

import re

import pytest

from yopo_ext.training import Run, change_config
from yopo_ext.training.events import progress_lines
from yopo_ext.training.events.progress_lines import ProgressLines, duration


class Clock:
    """A step takes 40 seconds, measuring after an epoch 80."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(progress_lines, "perf_counter", found)
    return found


def run_of(runs, clock, name="run", stop=None, **changes):
    config = change_config(runs.config, **changes)
    run = Run(config, runs.root / name, runs.data(config), show=True, stop=stop)
    step = run.trainer.step

    class Slow:
        def __call__(self, batch):
            clock.now += 40
            return step(batch)

        def __getattr__(self, attribute):
            return getattr(step, attribute)

    run.trainer.step = Slow()
    measured = run.trainer.measured
    run.trainer.measured = lambda record: (setattr(clock, "now", clock.now + 80), measured(record))
    return run


def test_a_line_every_so_many_minutes(runs, clock, capsys):
    run_of(runs, clock, log_every_minutes=1.0).fit()
    lines = [line for line in capsys.readouterr().out.splitlines() if " step " in line]
    assert len(lines) == 3  # 80 s into each epoch of four steps; at its end the epoch's own line comes
    pattern = r"YOPO-2-2 epoch 1/3, step 2/4: loss \d\.\d{3}, lr 0\.05, 0\.025 steps/s, 1 min left of the epoch, "
    assert re.match(pattern + "7 min of the run$", lines[0])  # 10 steps of 40 s
    assert "epoch 2/3, step 2/4" in lines[1]
    assert lines[1].endswith(" 5 min of the run")  # 6 more, as the 6 steps so far took 320 s with the measurement


def test_none_on_a_terminal_or_where_none_is_asked_for(runs, clock, capsys, monkeypatch):
    run_of(runs, clock, "off", log_every_minutes=0.0).fit()
    assert " step " not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    events = run_of(runs, clock, "terminal").trainer.events
    assert not any(isinstance(event, ProgressLines) for event in events)


def test_a_resumed_epoch_counts_its_own_steps(runs, clock, capsys):
    runs.interrupted("parts", runs.config, 1)
    run = run_of(runs, clock, "parts", log_every_minutes=1.0)
    run.resume()
    run.fit()
    assert "step 3/4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3590, "1 h 00 min"), (15000, "4 h 10 min"), (200000, "2 d 7 h")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text
