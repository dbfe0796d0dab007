# SPDX-License-Identifier: MIT
"""Which settings there are, and where each belongs: read from what every part declares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ...adversaries.method import METHODS
from ...objectives.objective import OBJECTIVES
from ...options import Option, options_of
from ...registry import Registry
from ..events.event import EVENTS
from ..optimizers import OPTIMIZERS
from ..schedules import SCHEDULES
from .sections import (
    BallOptions,
    DataOptions,
    HostOptions,
    LoopOptions,
    MeasuringOptions,
    ModelOptions,
    SpeedOptions,
)

#: section -> its options, the same for every run
SECTIONS: dict[str, type] = {
    "data": DataOptions,
    "model": ModelOptions,
    "ball": BallOptions,
    "loop": LoopOptions,
    "measuring": MeasuringOptions,
    "speed": SpeedOptions,
    "host": HostOptions,
}
#: section -> what is chosen there by name; its options are the choice's
KINDS: dict[str, Registry[Any]] = {
    "method": METHODS,
    "objective": OBJECTIVES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
EVENT_SECTION = "events"


@dataclass(frozen=True)
class Home:
    """Where a setting belongs: a section, and there to a choice or an event, or to all (owner None)."""

    section: str
    owner: str | None
    option: Option


@cache
def homes() -> dict[str, tuple[Home, ...]]:
    """Every setting by name, with all its homes: methods may share a name, as m.

    Raises:
        ValueError: one name for two settings of different kinds, or in two sections; says where.
    """
    found: dict[str, tuple[Home, ...]] = {}
    for home in _all_homes():
        name = home.option.name
        for other in found.get(name, ()):
            same = (other.section, other.option.kind, other.option.several) == (
                home.section, home.option.kind, home.option.several,
            )  # fmt: skip
            if not same or name in KINDS:
                raise ValueError(
                    f"setting {name!r}: declared by {home.section} {home.owner or ''} and, as another thing, by "
                    f"{other.section} {other.owner or ''}"
                )
        found[name] = (*found.get(name, ()), home)
    return found


def _all_homes() -> list[Home]:
    fixed = [Home(section, None, one) for section, kind in SECTIONS.items() for one in options_of(kind).values()]
    chosen = [
        Home(section, entry.name, one)
        for section, registry in KINDS.items()
        for entry in registry
        for one in options_of(entry.options).values()
    ]
    events = [Home(EVENT_SECTION, kind.name, one) for kind in EVENTS for one in options_of(kind.options).values()]
    return [*fixed, *chosen, *events]
