# SPDX-License-Identifier: MIT
"""Whether a dataclass's values are of the types that its fields say."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "True or False", NoneType: "None"}


def check_types(config: Any) -> None:
    """Raises ``TypeError`` naming the first field whose value is of another type; a whole number is a number too."""
    for name, hint in _hints(type(config)).items():
        value = getattr(config, name)
        kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
        if not any(_fits(value, kind) for kind in kinds):
            raise TypeError(f"{name}: got {value!r}, expected {' or '.join(map(_words, kinds))}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(kind)[0]) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _words(kind: Any) -> str:
    return f"a tuple, each {_words(get_args(kind)[0])}" if get_origin(kind) is tuple else _WORDS[kind]
