# SPDX-License-Identifier: MIT
"""Docstrings are written to be read in a terminal: a bar is a norm there, not a reStructuredText substitution."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_LITERAL = re.compile(r"(``.*?``)")


def escape_bars(line: str) -> str:
    parts = _LITERAL.split(line)
    return "".join(part if part.startswith("``") else part.replace("|", r"\|") for part in parts)


def process(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = [escape_bars(line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
