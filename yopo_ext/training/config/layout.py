# SPDX-License-Identifier: MIT
"""Which settings there are, and where each belongs: read from what every part declares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...adversaries.method import METHODS
from ...adversaries.starts import STARTS
from ...data import DATASETS
from ...models.heads import HEADS
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
    "start": STARTS,
    "objective": OBJECTIVES,
    "head": HEADS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
EVENT_SECTION = "events"
#: where a data set's own options are, beside those that every set has
SOURCE_SECTION = "data"
#: of a run's config.json: no settings, but what was taken where they leave it open, as the device
TAKEN_SECTION = "taken"
#: What is taken for a step size that nobody gave.
OWN = "the method's own"


@dataclass(frozen=True)
class Home:
    """Where a setting belongs: a section, and there to a choice, an event or a data set, or to all (owner None)."""

    section: str
    owner: str | None
    option: Option


def homes() -> dict[str, tuple[Home, ...]]:
    """Every setting by name, with all its homes: methods may share a name, as m.

    Raises:
        ValueError: one name for two settings of different kinds, or in two sections; says where.
    """
    return _homes_of(tuple(tuple(registry) for registry in (*KINDS.values(), EVENTS, DATASETS)))


def source_homes() -> dict[str, tuple[Home, ...]]:
    """The settings that are a data set's own."""
    return {
        name: found
        for name, found in homes().items()
        if found[0].section == SOURCE_SECTION and found[0].owner is not None
    }


@lru_cache(maxsize=1)  # registries may be added to, and then there are other settings
def _homes_of(entries: tuple[tuple[Any, ...], ...]) -> dict[str, tuple[Home, ...]]:
    found: dict[str, tuple[Home, ...]] = {}
    for home in _all_homes(*entries):
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


def _all_homes(*entries: tuple[Any, ...]) -> list[Home]:
    *kinds, events, sources = entries
    fixed = [Home(section, None, one) for section, kind in SECTIONS.items() for one in options_of(kind).values()]
    chosen = [
        Home(section, entry.name, one)
        for section, choices in zip(KINDS, kinds, strict=True)
        for entry in choices
        for one in options_of(entry.options).values()
    ]
    beside = [Home(EVENT_SECTION, event.name, one) for event in events for one in options_of(event.options).values()]
    of_sets = [Home(SOURCE_SECTION, one.name, item) for one in sources for item in options_of(one.options).values()]
    return [*fixed, *of_sets, *chosen, *beside]
