# SPDX-License-Identifier: MIT
"""What `--help` says of an option that a dataclass declares: its words, what there is to choose, unit and default."""

from __future__ import annotations

from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..options import Option

#: More than so many names are for `yopo list`.
MOST_CHOICES = 8


def described(one: Option, *, default: str | None = None) -> str:
    """The option's own words and what they leave out.

    Args:
        one: the option.
        default: what leaving it out means, where that is not the option's own default.
    """
    text = one.help
    unsaid = [word for word in one.known if word not in text]
    if unsaid and len(one.known) <= MOST_CHOICES:
        text += f": {', '.join(one.known)}"
    if one.unit:
        text += f" ({one.unit})"
    if "default" not in text and "where not given" not in text and (meant := default or _default(one)):
        text += f" (default: {meant})"
    return text.replace("%", "%%")


def _default(one: Option) -> str:
    """As it would be typed; nothing where there is none, and for what is off."""
    if one.default is None or one.default is MISSING or one.default is False:
        return ""
    return " ".join(map(_typed, one.default if one.several else (one.default,)))


def _typed(value: Any) -> str:
    if value is True:
        return "on"
    return f"{value:g}" if isinstance(value, float) else str(value)
