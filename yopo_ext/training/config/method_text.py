# SPDX-License-Identifier: MIT
"""Methods as papers write them: ``yopo-5-10``, ``pgd-10``, ``free-8``."""

from __future__ import annotations

import re
from typing import Any

from ...adversaries.method import METHODS


def parse_method(text: str) -> dict[str, Any]:
    """``"yopo-5-10"`` to ``{"method": "yopo", "m": 5, "n": 10}``; without numbers only the method.

    Raises ``ValueError`` for an unknown name or the wrong number of numbers.
    """
    match = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)((?:-\d+)*)", text)
    name, numbers = (match[1], [int(number) for number in match[2].split("-")[1:]]) if match else (text, [])
    if name not in METHODS:
        patterns = ", ".join(method.pattern for method in METHODS)
        raise ValueError(f"method: got {text!r}, expected one of {patterns}")
    method = METHODS[name]
    if numbers and len(numbers) != len(method.numbers):
        raise ValueError(f"method: got {text!r}, expected {method.pattern}")
    return {"method": name, **dict(zip(method.numbers, numbers, strict=False))}


def with_numbers(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the numbers that the method's name carries.

    Raises:
        ValueError: an unknown method, or a number that is given beside and differs.
    """
    if "method" not in settings:
        return settings
    parsed = parse_method(settings["method"])
    for name, value in parsed.items():
        if name != "method" and settings.get(name, value) != value:
            raise ValueError(f"{name}: got {settings[name]} with method {settings['method']}, expected {value} or none")
    return {**settings, **parsed}
