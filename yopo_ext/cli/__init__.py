# SPDX-License-Identifier: MIT
"""The `yopo` command: argument parsing, nothing else; one command a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from . import bench, compare, evaluate, info, train
from .speaker import complain

COMMANDS = (train, compare, evaluate, info, bench)


class _Parser(argparse.ArgumentParser):
    """Complains in one line, without the usage (`--help` prints that)."""

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: {message}")
        self.exit(2)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each leaves the function that carries it out as ``options.run``."""
    parser = _Parser(prog="yopo", description="Adversarial training at the price of its m full passes.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; wrong input is one line on stderr and exit status 2."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        complain(f"yopo: {error}")
        return 2
