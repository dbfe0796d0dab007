# SPDX-License-Identifier: MIT
"""What a process adds to a registry brings its settings with it, and takes them away again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from yopo_ext.options import option
from yopo_ext.training import EVENTS, SCHEDULES, Event, NamedEvent, make_config
from yopo_ext.training.schedules import Schedule, ScheduleOptions


@dataclass(frozen=True)
class PowerOptions(ScheduleOptions):
    power: float = option(2.0, "exponent", above=0)


@dataclass(frozen=True)
class NoteOptions:
    note: str = option("", "words")


def test_the_settings_of_an_added_schedule():
    make_config()  # all settings are known by now
    SCHEDULES.add(
        Schedule("power", "a power", lambda options, base, epochs, first_layer: lambda done: base, PowerOptions)
    )
    try:
        assert make_config(schedule="power", power=3.0)["power"] == 3.0
    finally:
        SCHEDULES.remove("power")
    with pytest.raises(ValueError, match=r"^unknown settings: power$"):
        make_config(power=3.0)


def test_the_settings_of_an_added_event():
    make_config()
    EVENTS.add(NamedEvent("note", "words", lambda options, parts: Event(), NoteOptions))
    try:
        assert make_config(note="one").to_dict()["events"]["note"] == {"note": "one"}
    finally:
        EVENTS.remove("note")
    assert "note" not in make_config().to_dict()["events"]
