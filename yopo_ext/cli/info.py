# SPDX-License-Identifier: MIT
"""`yopo info`."""

from __future__ import annotations

import argparse
from typing import Any


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    info = commands.add_parser("info", help="what was built, what this machine can run, and why not")
    info.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..build_info import describe

    print(describe())
    return 0
