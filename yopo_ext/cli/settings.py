# SPDX-License-Identifier: MIT
"""The command line's options for a configuration: read from what every part of it declares."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .numbers import number
from .option_help import described

if TYPE_CHECKING:
    from ..options import Option
    from ..training import Config
    from ..training.config.layout import Home

#: choices that are options too, with their help
_CHOICES = {
    "method": "how it is trained, with its numbers: yopo-M-N (default: yopo-5-3), see `yopo list methods`",
    "start": "where the attack begins (default: uniform), see `yopo list starts`",
    "objective": "what is climbed and descended (default: the method's own), see `yopo list objectives`",
    "head": "what the network ends in (default: what the objective reads), see `yopo list heads`",
    "optimizer": "what moves the weights (default: sgd), see `yopo list optimizers`",
    "schedule": "of the learning rate (default: piecewise), see `yopo list schedules`",
}


def add_settings(parser: argparse.ArgumentParser, *, without: Sequence[str] = ()) -> None:
    """Adds all settings to a command, in groups, all without a default."""
    from ..training.config.layout import homes

    groups: dict[str, Any] = {}

    def group(section: str) -> Any:
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        return groups[section]

    for section, text in _CHOICES.items():
        if section not in without:
            group(section).add_argument(f"--{section}", metavar="NAME", help=text)
    for name, found in homes().items():
        if name not in without:
            _add(group(found[0].section), found)


def add_source_settings(parser: argparse.ArgumentParser) -> None:
    """Adds those that are a data set's own, in a group."""
    from ..training.config.layout import source_homes

    group = parser.add_argument_group("data", "for --weights, and of a run those that say where and how")
    for found in source_homes().values():
        _add(group, found)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given on the command line, by name."""
    from ..training.config.layout import homes

    return _given(options, (*_CHOICES, *homes()))


def given_source_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The data set's own among them."""
    from ..training.config.layout import source_homes

    return _given(options, tuple(source_homes()))


def _given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if value is not None
    }


def require_changeable(config: Config, given: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for a setting that may not change when a run goes on.

    Those of the host may, and the number of epochs, upwards, where the schedule of the learning rate allows it.
    """
    from ..training.config.layout import homes
    from ..training.schedules import SCHEDULES

    allowed = [name for name, found in homes().items() if found[0].option.host]
    for name in given:
        if name not in (*allowed, "epochs"):
            flags = ", ".join(flag_of(one) for one in allowed)
            raise ValueError(
                f"--resume takes its settings from the run, got {flag_of(name)}; only {flags} and --epochs may be given"
            )
    epochs = given.get("epochs", config.loop.epochs)
    if epochs < config.loop.epochs:
        raise ValueError(f"epochs: got {epochs}, expected at least the run's own {config.loop.epochs}")
    if epochs > config.loop.epochs and SCHEDULES[config.schedule.name].whole_run:
        raise ValueError(
            f"epochs: got {epochs} for a run of {config.loop.epochs} with schedule {config.schedule.name}, whose rate "
            "depends on the length of the run: what is done was done at other rates; start a new run, or one with "
            "schedule piecewise, which can be extended"
        )


def parser_of(one: Option) -> Callable[[str], Any]:
    """From a word of the command line to a value of the option, or of each of several."""
    kinds: dict[type, Callable[[str], Any]] = {int: int, float: number, str: str, bool: bool}
    kind = kinds[one.kind]

    def parse(text: str) -> Any:
        return text if text in one.words else kind(text)

    parse.__name__ = {int: "whole number", float: "number"}.get(one.kind, one.kind.__name__)
    return parse


def flag_of(name: str) -> str:
    """``-m``, ``--label-smoothing``."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def _add(group: Any, found: Sequence[Home]) -> None:
    one = found[0].option
    text = _help(found)
    if one.kind is bool:
        group.add_argument(flag_of(one.name), action=argparse.BooleanOptionalAction, help=text)
    elif one.several:
        group.add_argument(flag_of(one.name), type=parser_of(one), nargs="*", help=text, dest=one.name)
    else:
        group.add_argument(flag_of(one.name), type=parser_of(one), help=text, dest=one.name)


def _help(found: Sequence[Home]) -> str:
    """What is said of the option, once for each thing said, and for whom."""
    from ..data import DATASETS

    in_a_recipe = any(found[0].option.name in dataset.recipe for dataset in DATASETS)
    texts: dict[str, list[str]] = {}
    for home in found:
        text = described(home.option, default="the data set's own" if in_a_recipe else None)
        texts.setdefault(text, []).append(home.owner or "")
    parts = []
    for text, owners in texts.items():
        who = "" if found[0].section == "events" else ", ".join(owner for owner in owners if owner)
        parts.append(f"{text} ({who})" if who else text)
    return "; ".join(parts)
