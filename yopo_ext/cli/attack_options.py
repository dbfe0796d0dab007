# SPDX-License-Identifier: MIT
"""The options of attacks and detectors: read from what each kind declares, in whatever package."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .numbers import is_number
from .option_help import described
from .settings import flag_of, parser_of

if TYPE_CHECKING:
    from ..detectors import NamedDetector
    from ..evaluation import NamedAttack
    from ..options import Option

    Kind = NamedAttack | NamedDetector


def declared_options() -> dict[str, Option]:
    """The options of all kinds of attacks and detectors, by name; kinds may share one.

    Raises:
        ValueError: two kinds declare one of another type.
    """
    from ..options import options_of

    found: dict[str, tuple[str, Option]] = {}
    for kind in _all_kinds():
        for name, one in options_of(kind.options).items():
            owner, first = found.setdefault(name, (kind.name, one))
            if (first.kind, first.several) != (one.kind, one.several):
                raise ValueError(f"attack {kind.name!r}: its option {name} has another type than that of {owner}")
    return {name: one for name, (_, one) in found.items()}


def add_attack_options(parser: argparse.ArgumentParser, group: Any) -> None:
    """Adds them, all without a default, and the flags that ask for a kind.

    Raises:
        ValueError: an option that the command has already, or as `declared_options`.
    """
    from ..evaluation import ATTACKS

    options = declared_options()
    for name, one in options.items():
        if flag_of(name) in parser._option_string_actions:
            raise ValueError(f"attacks: an option {name} is declared, {flag_of(name)} is the command's own")
        text = described(one)
        if one.kind is bool:
            group.add_argument(flag_of(name), action=argparse.BooleanOptionalAction, help=text, dest=name)
        else:
            many = {"nargs": "+"} if one.several else {}
            metavar = {"metavar": "NAME" if one.kind is str else "N"}
            group.add_argument(flag_of(name), type=parser_of(one), help=text, dest=name, **many, **metavar)
    for kind in ATTACKS:
        if kind.asked_by is not None and kind.asked_by not in options:
            help_text = f"--attacks {kind.name} too: {kind.help}"
            group.add_argument(flag_of(kind.asked_by), action="store_true", default=None, help=help_text)


def list_words() -> dict[str, Callable[[str], bool]]:
    """Of the options that take several values, what says of a word whether it can be one."""
    known: dict[str, Callable[[str], bool]] = {}
    for name, one in declared_options().items():
        if one.several:
            words = (*one.known, *one.words)
            known[flag_of(name)] = words.__contains__ if one.kind is str and words else is_number
    return known


def asked_kinds(options: argparse.Namespace) -> list[str]:
    """The kinds that flags of their own ask for."""
    from ..evaluation import ATTACKS

    return [kind.name for kind in ATTACKS if kind.asked_by and getattr(options, kind.asked_by) is not None]


def options_for(kind: Kind, given: Mapping[str, Any]) -> Any:
    """The kind's options, of what was given on the command line. Raises as they do."""
    return kind.options(**{field.name: given[field.name] for field in fields(kind.options) if field.name in given})


def given_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of attacks and detectors that were given, by name."""
    values = {name: getattr(options, name) for name in declared_options()}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if value is not None
    }


def require_used(given: Mapping[str, Any], kinds: Sequence[Kind]) -> None:
    """Raises ``ValueError`` for an option that none of these kinds has."""
    from ..detectors import NamedDetector

    used = {field.name for kind in kinds for field in fields(kind.options)}
    for name in given:
        if name not in used:
            owners = [kind for kind in _all_kinds() if name in {field.name for field in fields(kind.options)}]
            flag = "--detectors" if isinstance(owners[0], NamedDetector) else "--attacks"
            names = " or ".join(kind.name for kind in owners)
            raise ValueError(f"{flag_of(name)}: goes with {flag} {names}, which is not asked for")


def _all_kinds() -> list[Kind]:
    from ..detectors import DETECTORS
    from ..evaluation import ATTACKS

    return [*ATTACKS, *DETECTORS]
