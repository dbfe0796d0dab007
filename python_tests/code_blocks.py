# SPDX-License-Identifier: MIT
"""The fenced code blocks of a Markdown page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(path: Path, language: str) -> list[str]:
    """Those of one language, in order."""
    return [code for found, code in _FENCE.findall(path.read_text(encoding="utf-8")) if found == language]


def languages(path: Path) -> set[str]:
    """Of all blocks; "" where a block has none."""
    return {found for found, _ in _FENCE.findall(path.read_text(encoding="utf-8"))}
