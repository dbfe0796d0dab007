# SPDX-License-Identifier: MIT
"""Everything that decides a training run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...adversaries.method import METHODS, Method
from ...objectives.objective import OBJECTIVES, NamedObjective
from ...options import options_of, to_plain
from ..events.event import EVENTS
from ..files import write_text_atomically
from .check_head import check_head
from .check_members import check_members
from .check_mixup import check_mixup
from .check_start import DEFAULT_START, check_start
from .chosen import Chosen
from .layout import EVENT_SECTION, KINDS, OWN, SECTIONS, SOURCE_SECTION, TAKEN_SECTION
from .sections import (
    BallOptions,
    DataOptions,
    HostOptions,
    LoopOptions,
    MeasuringOptions,
    ModelOptions,
    SpeedOptions,
    check_grey_levels,
)


@dataclass(frozen=True)
class Config:
    """One training run, as `make_config` makes it: checked sections, and choices by name with their options.

    ``source`` are the data set's own options, in the section of the images; ``own_alpha`` says that nobody gave the
    step size, which is what the method makes of eps and its numbers.

    The sections' fields are described where they are declared: `yopo train --help` prints them all. A setting can be
    read by its name alone, as ``config["eps"]``, for no two sections have one of the same name.
    """

    data: DataOptions
    model: ModelOptions
    ball: BallOptions
    method: Chosen
    start: Chosen
    objective: Chosen
    head: Chosen
    optimizer: Chosen
    schedule: Chosen
    loop: LoopOptions
    events: tuple[Chosen, ...]
    measuring: MeasuringOptions
    speed: SpeedOptions
    host: HostOptions
    source: Any
    own_alpha: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        check_grey_levels("eval_alpha", self.measuring.eval_alpha, self.ball.norm)
        method = METHODS[self.method.name]
        if method.check is not None:
            method.check(self.method.options, self.ball)
        check_start(self.start.name, method, self.data)
        check_mixup(self.data, method, self.declared_objective)
        check_head(self.head.name, self.declared_objective)
        check_members(self.model, self.declared_objective)
        for one in self.events:
            if (check := EVENTS[one.name].check) is not None:
                check(one.options, self)

    def __getitem__(self, name: str) -> Any:
        """A setting by its name alone. Raises ``KeyError`` where this run has none of that name."""
        if name in KINDS:
            return getattr(self, name).name
        for _, options in self._parts():
            if name in options_of(type(options)):
                return getattr(options, name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting by its name alone, or the default where this run has none of that name."""
        try:
            return self[name]
        except KeyError:
            return default

    def reads(self, name: str) -> bool:
        """Whether a setting of that name decides anything in this run: some mean nothing to some methods."""
        if name == "alpha":
            return self.declared_method.adversarial
        if name == "start":
            return self.declared_method.starts
        for one in self.events:
            if name in options_of(type(one.options)):
                reads = EVENTS[one.name].reads
                return reads is None or reads(name, self.declared_method)
        return name in self.settings()

    def event(self, name: str) -> Any:
        """An event's options."""
        return next(one.options for one in self.events if one.name == name)

    @property
    def declared_method(self) -> Method:
        """What the method declares."""
        return METHODS[self.method.name]

    @property
    def declared_objective(self) -> NamedObjective:
        """What the objective declares."""
        return OBJECTIVES[self.objective.name]

    @property
    def base_lr(self) -> float:
        """The learning rate at this many images a weight step."""
        return self.optimizer.options.base_lr(self.loop.batch_size * self.loop.accumulate)

    @property
    def method_name(self) -> str:
        """For folders and the command line: ``yopo-5-3``."""
        return "-".join([self.method.name, *self._numbers])

    @property
    def label(self) -> str:
        """For tables and figures: ``YOPO-5-3``, ``PGD-10``, ``FastAT``; a delayed method says so."""
        label = "-".join([self.declared_method.label, *self._numbers])
        label = label if self.start.name == DEFAULT_START else f"{label}, start {self.start.name}"
        return label if self.get("delay") is None else f"{label}, delayed"

    @property
    def _numbers(self) -> list[str]:
        return [str(getattr(self.method.options, name)) for name in self.declared_method.numbers]

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for section in SECTIONS:
            yield section, getattr(self, section)
        yield SOURCE_SECTION, self.source
        for section in KINDS:
            yield section, getattr(self, section).options
        for one in self.events:
            yield f"{EVENT_SECTION}.{one.name}", one.options

    def settings(self, *, host: bool = True) -> dict[str, Any]:
        """All settings by name, choices included; without those of the host if asked."""
        found = {name: getattr(self, name).name for name in KINDS}
        for _, options in self._parts():
            declared = options_of(type(options))
            found |= {name: getattr(options, name) for name, one in declared.items() if host or not one.host}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as in ``config.json``; `config_from_dict` is the inverse."""
        found: dict[str, Any] = {section: to_plain(getattr(self, section)) for section in SECTIONS}
        found[SOURCE_SECTION] |= to_plain(self.source)
        for section in KINDS:
            chosen = getattr(self, section)
            found[section] = {"name": chosen.name, **to_plain(chosen.options)}
        found[EVENT_SECTION] = {one.name: to_plain(one.options) for one in self.events}
        return found | ({TAKEN_SECTION: {"alpha": OWN}} if self.own_alpha else {})

    def write(self, path: Path, *, taken: dict[str, Any] | None = None, new: bool = False) -> None:
        """Into a ``config.json``, atomically; with what the run took where the settings left it open.

        Raises ``FileExistsError`` where it is to be ``new`` and there is one.
        """
        found = self.to_dict()
        if taken := {**found.get(TAKEN_SECTION, {}), **(taken or {})}:
            found[TAKEN_SECTION] = taken
        write_text_atomically(path, json.dumps(found, indent=2) + "\n", new=new)


def differences(ours: Config, theirs: Config) -> list[str]:
    """``name: ours, theirs`` for every setting that decides the result and differs."""
    left, right = ours.settings(host=False), theirs.settings(host=False)
    names = [*left, *(name for name in right if name not in left)]
    return [
        f"{name}: {left.get(name)!r} here, {right.get(name)!r} there"
        for name in names
        if left.get(name) != right.get(name)
    ]
