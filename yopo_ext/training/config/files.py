# SPDX-License-Identifier: MIT
"""Configurations from files: a run's own config.json, and TOML or JSON that somebody wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .config import Config
from .layout import EVENT_SECTION, KINDS, OWN, SECTIONS, TAKEN_SECTION, homes
from .method_text import with_numbers
from .resolve import Layer, resolve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Found = TypeVar("Found")


def config_from_dict(nested: Mapping[str, Any]) -> Config:
    """The inverse of `Config.to_dict`. Raises ``ValueError`` naming what is wrong."""
    return replace(resolve([Layer(flat_settings(nested))]), own_alpha=_has_own_alpha(nested))


def flat_settings(nested: Mapping[str, Any]) -> dict[str, Any]:
    """``{"method": {"name": "yopo", "m": 5}}`` to ``{"method": "yopo", "m": 5}``; lists become tuples.

    A method's numbers may be in its name, as "yopo-5-10". What a run took is passed over.

    Raises:
        ValueError: an unknown section, a setting in a section where it does not belong, or no table at all.
    """
    found: dict[str, Any] = {}
    for section, values in nested.items():
        if section == TAKEN_SECTION:
            continue
        if section not in (*SECTIONS, *KINDS, EVENT_SECTION):
            raise ValueError(f"{section}: unknown section, expected {', '.join((*SECTIONS, *KINDS, EVENT_SECTION))}")
        if not isinstance(values, Mapping):
            raise ValueError(f"{section}: got {values!r}, expected a table of settings")
        tables = values.items() if section == EVENT_SECTION else [(None, values)]
        for owner, table in tables:
            found |= _settings_of(section, owner, table)
    return with_numbers(found)


def _has_own_alpha(nested: Mapping[str, Any]) -> bool:
    """Whether the step size is there because the run took it, and not because somebody gave it."""
    taken = nested.get(TAKEN_SECTION)
    return isinstance(taken, Mapping) and taken.get("alpha") == OWN


def _settings_of(section: str, owner: str | None, table: Any) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ValueError(f"{section}.{owner}: got {table!r}, expected a table of settings")
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name == "name" and section in KINDS:
            if not isinstance(value, str):
                raise ValueError(f"{section}: got {value!r}, expected a name")
            found[section] = value
            continue
        known = homes().get(name, ())
        if not any(home.section == section and owner in (None, home.owner) for home in known):
            place = f"{section}.{owner}" if owner else section
            elsewhere = f"; it belongs to {known[0].section}" if known else ""
            raise ValueError(f"{place}: unknown settings: {name}{elsewhere}")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a TOML or JSON file, flat, for ``--config``; it need not hold all.

    Of a run's own file those that somebody gave or a default decided: not a step size that was the method's own.

    Raises:
        ValueError: naming the file, where it is missing, malformed, or holds what no configuration has.
    """
    try:
        text = path.read_text(encoding="utf-8")
        nested = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        settings = flat_settings(nested)
        if _has_own_alpha(nested):
            settings.pop("alpha", None)
        for name, value in settings.items():
            _check(name, value)
        return settings
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a configuration ({error})") from error


def _check(name: str, value: Any) -> None:
    """Raises what all of a setting's homes say of the value; one may take what another does not."""
    failures: list[Exception] = []
    for home in homes().get(name, ()):
        try:
            return home.option.check(value)
        except (TypeError, ValueError) as error:
            failures.append(error)
    if failures:
        raise failures[0]


def read_run(path: Path) -> Config:
    """The configuration of a run, from its ``config.json``.

    Raises:
        ValueError: naming the file, where it is missing or malformed.
    """
    return _read(path, config_from_dict)


def read_began_with(path: Path) -> list[str] | None:
    """The runs that began together with a ``config.json``'s, in order, as folders relative to the command's.

    None for a file that does not say.

    Raises:
        ValueError: as `read_run`.
    """
    return _read(path, lambda nested: nested.get(TAKEN_SECTION, {}).get("runs"))


def _read(path: Path, part: Callable[[Any], Found]) -> Found:
    """What part(its tables) gives."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; is its folder the folder of a run?")
    try:
        return part(json.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a run's configuration ({error})") from error
