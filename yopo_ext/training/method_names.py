# SPDX-License-Identifier: MIT
"""Methods as papers write them: ``yopo-5-10``, ``pgd-10``, ``free-8``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import TrainConfig

# method -> the settings that follow its name, in order; as printed.
_NUMBERS: dict[str, tuple[str, ...]] = {
    "natural": (),
    "fast": (),
    "n-fgsm": (),
    "pgd": ("pgd_steps",),
    "trades": ("pgd_steps",),
    "free": ("m",),
    "yopo": ("m", "n"),
    "trades-yopo": ("m", "n"),
}
METHODS = tuple(_NUMBERS)
_PRINTED = {
    "natural": "natural", "fast": "FastAT", "n-fgsm": "N-FGSM", "pgd": "PGD", "trades": "TRADES", "free": "Free",
    "yopo": "YOPO", "trades-yopo": "TRADES-YOPO",
}  # fmt: skip


def parse_method(text: str) -> dict[str, Any]:
    """``"yopo-5-10"`` to ``{"method": "yopo", "m": 5, "n": 10}``; without numbers only the method.

    Raises ``ValueError`` for an unknown name or the wrong number of numbers.
    """
    match = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)((?:-\d+)*)", text)
    name, numbers = (match[1], [int(number) for number in match[2].split("-")[1:]]) if match else (text, [])
    if name not in _NUMBERS:
        raise ValueError(f"unknown method {text!r}; known: {', '.join(map(_pattern, _NUMBERS))}")
    if numbers and len(numbers) != len(_NUMBERS[name]):
        raise ValueError(f"method {text!r}: expected {_pattern(name)}")
    return {"method": name, **dict(zip(_NUMBERS[name], numbers, strict=False))}


def method_name(config: TrainConfig) -> str:
    """The inverse of `parse_method`, for folders: ``yopo-5-3``."""
    return "-".join([config.method, *(str(getattr(config, name)) for name in _NUMBERS[config.method])])


def method_label(config: TrainConfig) -> str:
    """For tables and figures: ``YOPO-5-3``, ``PGD-10``, ``FastAT``; a delayed method says so."""
    numbers = (str(getattr(config, name)) for name in _NUMBERS[config.method])
    label = "-".join([_PRINTED[config.method], *numbers])
    return label if config.delay is None else f"{label}, delayed"


def _pattern(name: str) -> str:
    short = {"pgd_steps": "STEPS", "m": "M", "n": "N"}
    return "-".join([name, *(short[number] for number in _NUMBERS[name])])
