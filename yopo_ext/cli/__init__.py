# SPDX-License-Identifier: MIT
"""The `yopo` command: argument parsing, nothing else; one command a file."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from . import bench, compare, cuts, diagnose, evaluate, info, list_command, train
from .argument_order import join_negative_numbers
from .broken_pipe import quiet_when_cut_off
from .crowd import make_room
from .speaker import complain

COMMANDS = (train, compare, evaluate, diagnose, cuts, list_command, info, bench)


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
    for subparser in commands.choices.values():
        subparser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; wrong input is one line on stderr and exit status 2, with `--traceback` where it was raised."""
    arguments = sys.argv[1:] if arguments is None else arguments
    make_room(arguments)  # the parser imports torch
    return quiet_when_cut_off(lambda: _run(join_negative_numbers(evaluate.free_the_checkpoints(arguments))))


def _run(arguments: Sequence[str]) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        if options.traceback:
            traceback.print_exc()
        complain(f"yopo: {error}")
        return 2
