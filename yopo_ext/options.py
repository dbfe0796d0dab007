# SPDX-License-Identifier: MIT
"""Options as fields of a frozen dataclass: each says its help, range and unit once, beside the code that it steers.

From the fields come the check and its message here, the command line's options (`yopo_ext.cli.settings`), the
configuration file and the documentation's tables.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .registry import Registry

_METADATA = "yopo_ext.option"

Choices = Sequence[str] | Registry


@dataclass(frozen=True)
class Options:
    """Options that are checked as they are made; whoever has some derives from it.

    Raises:
        TypeError, ValueError: as `check_options`.
    """

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class NoOptions(Options):
    """Of what has none."""


@dataclass(frozen=True)
class Limits:
    """What a number may be: from `least` (or above `above`) to `most` (or below `below`), and finite."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def admits(self, value: float) -> bool:
        """Whether the number is within them."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        words = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {value:g}" for word, value in words.items() if value is not None)


@dataclass(frozen=True)
class Option:
    """One option, as its field declares it.

    Attributes:
        name: the field's.
        help: a phrase for `--help` and tables.
        kind: int, float, bool or str, of the value or of each of several.
        several: whether it takes a tuple of values.
        optional: whether it may be None, which is then what leaving it out means.
        default: its value where it is not given; `dataclasses.MISSING` where it must be.
        limits: of numbers.
        choices: the words there are, or what gives them; empty: any. A registry may have more than it names.
        words: those that it takes beside numbers, as "auto".
        unit: of numbers, for tables.
        host: whether it says where and how a run happens, not what it computes, and so may change when it goes on.
        beside: another option of the dataclass, without which, at 0, None or none of several, it would say nothing.
    """

    name: str
    help: str
    kind: type
    several: bool
    optional: bool
    default: Any
    limits: Limits
    choices: Choices | Callable[[], Choices]
    words: tuple[str, ...]
    unit: str
    host: bool
    beside: str

    @property
    def known(self) -> tuple[str, ...]:
        """The words there are, () for any."""
        return tuple(getattr(self._choices, "names", self._choices))

    @property
    def _choices(self) -> Choices:
        return self.choices() if callable(self.choices) else self.choices

    @property
    def expected(self) -> str:
        """What it takes, as error texts say it."""
        one = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}[self.kind]
        if self.known:
            one = f"one of {', '.join(self.known)}"
        if limits := str(self.limits):
            one = f"{one} {'of ' if limits.startswith('at least') else ''}{limits}"
        parts = [*self.words, f"several, each {one}" if self.several else one, *(["none"] if self.optional else [])]
        return " or ".join(parts)

    def check(self, value: Any) -> None:
        """Checks one value.

        Raises:
            TypeError, ValueError: naming the option, what was given and what is expected.
        """
        if (value is None and self.optional) or (isinstance(value, str) and value in self.words):
            return
        items = value if self.several and isinstance(value, tuple) else (value,)
        kinds = (int, float) if self.kind is float else self.kind
        right_type = (not self.several or isinstance(value, tuple)) and all(
            isinstance(item, kinds) and isinstance(item, bool) == (self.kind is bool) for item in items
        )
        if not right_type and not (isinstance(value, str) and self.words):
            raise TypeError(f"{self.name}: got {value!r}, expected {self.expected}")
        if not right_type or not all(map(self._is_in_range, items)):
            raise ValueError(f"{self.name}: got {value!r}, expected {self.expected}")

    def _is_in_range(self, item: Any) -> bool:
        if self.kind is str:
            return not self.known or item in self._choices
        return self.kind is bool or self.limits.admits(item)


def option(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: Choices | Callable[[], Choices] = (),
    words: tuple[str, ...] = (),
    unit: str = "",
    host: bool = False,
    beside: str = "",
) -> Any:
    """A dataclass field that is an `Option`; its type is read from the annotation.

    Annotations: int, float, bool, str, tuple[int, ...] and the like, each with `| None` where None is allowed, and
    with `| str` beside `words`.
    """
    metadata = {
        "help": help, "limits": Limits(least, above, most, below), "choices": choices, "words": words, "unit": unit,
        "host": host, "beside": beside,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata={_METADATA: metadata})


def options_of(declared: type) -> dict[str, Option]:
    """The options of a dataclass by name, in order."""
    return _options_of(declared)


@cache
def _options_of(declared: type) -> dict[str, Option]:
    hints = get_type_hints(declared)
    return {
        field.name: Option(
            name=field.name, default=field.default, **_read(hints[field.name], field.metadata[_METADATA])
        )
        for field in dataclasses.fields(declared)
    }


def check_options(values: Any) -> None:
    """Checks every field of a dataclass of options, for the `__post_init__` of one that is no `Options`.

    Raises:
        TypeError, ValueError: naming the first that is wrong, or says nothing beside the others, what was given and
            what is expected.
    """
    declared = options_of(type(values))
    for name, one in declared.items():
        one.check(getattr(values, name))
    for name, one in declared.items():
        value = getattr(values, name)
        asks = value != one.default and (value or one.default is not None)  # 0 where None is the default: none of it
        if one.beside and asks and not (other := getattr(values, one.beside)):
            expected = f"{one.beside} too" if declared[one.beside].several else f"{one.beside} above 0"
            raise ValueError(f"{name}: got {value!r} with {one.beside} {other!r}, expected {expected}")


def from_plain(declared: type, plain: dict[str, Any]) -> Any:
    """The dataclass from JSON or TOML values: lists become tuples.

    Raises:
        ValueError: an unknown name.
        TypeError, ValueError: what `check_options` raises.
    """
    unknown = sorted(set(plain) - set(options_of(declared)))
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")
    return declared(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})


def to_plain(values: Any) -> dict[str, Any]:
    """The inverse of `from_plain`: plain JSON values."""
    found = {name: getattr(values, name) for name in options_of(type(values))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _read(hint: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    parts = set(_parts(hint))
    optional = NoneType in parts
    parts.discard(NoneType)
    if metadata["words"] and len(parts) > 1:
        parts.discard(str)
    (kind,) = parts
    several = get_origin(kind) is tuple
    return {"kind": get_args(kind)[0] if several else kind, "several": several, "optional": optional, **metadata}


def _parts(hint: Any) -> Iterator[Any]:
    yield from get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
