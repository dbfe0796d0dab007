# SPDX-License-Identifier: MIT
"""`yopo list`."""

from __future__ import annotations

import argparse
from typing import Any

from ..catalogue import KINDS, catalogue, written


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    lists = commands.add_parser("list", help="what there is to choose from, with what other packages add")
    lists.add_argument("kind", choices=KINDS)
    lists.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    entries = [(written(entry), entry.help) for entry in catalogue(options.kind)]
    width = max(len(name) for name, _ in entries)
    for name, text in entries:
        print(f"{name:<{width}}  {text}")
    return 0
