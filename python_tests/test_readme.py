# SPDX-License-Identifier: MIT
"""The README's Python runs as printed, and its commands are the ones that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yopo_ext.cli import build_parser
from yopo_ext.training import PRESETS

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
# A command goes on behind a backslash.
LINES = re.sub(r"\\\n\s*", "", TEXT)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL), ids=lambda code: code[:20])
def test_python_blocks_run(code):
    exec(compile(code, str(README), "exec"), {})


@pytest.mark.parametrize("line", re.findall(r"^(?:pip install . && )?yopo ([a-z].*?)(?:\s+#.*)?$", LINES, re.MULTILINE))
def test_commands_are_understood(line):
    options = build_parser().parse_args(line.split())
    preset = getattr(options, "preset", None)
    assert preset is None or preset in PRESETS
