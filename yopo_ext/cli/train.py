# SPDX-License-Identifier: MIT
"""`yopo train`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resumable import finish
from .settings import add_settings, given_settings, require_changeable

if TYPE_CHECKING:
    from ..training import Config


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    train = commands.add_parser("train", help="train a robust classifier; without options, of handwritten digits")
    train.add_argument("--preset", help="settings by name, the papers': see `yopo list presets`; options override them")
    train.add_argument(
        "--config", type=Path, metavar="FILE", help="settings from a TOML file or a run's config.json; options override"
    )
    train.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/DATASET-METHOD-TIME)")
    train.add_argument(
        "--compare-natural",
        action=argparse.BooleanOptionalAction,
        help="train a natural classifier too (default: for digits)",
    )
    add_settings(train)
    train.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Trains; 0, 1 where training cannot go on, 128 + the signal's number where it was interrupted."""
    from ..training import run_job, started_processes

    config, folder, compare = _resumed(options) if options.resume is not None else _new(options)

    def job() -> None:
        with started_processes(config.host.device) as (processes, device):
            # Clocks and what a file system shows differ: the first process's word counts.
            agreed, place, natural = processes.from_first((config, folder, compare))
            run_job(
                agreed, place, compare_natural=natural, resume=options.resume is not None, processes=processes,
                device=device,
            )  # fmt: skip

    return finish(job, f"yopo train --resume {folder}")


def _new(options: argparse.Namespace) -> tuple[Config, Path, bool]:
    """The configuration of a new run, its folder, and whether a natural one is trained too."""
    from ..training import make_config

    config = make_config(options.preset, file=options.config, **given_settings(options))
    name = f"{config.data.dataset}-{config.method.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    compare = config.data.dataset == "digits" if options.compare_natural is None else options.compare_natural
    return config, options.out or Path("runs") / name, compare


def _resumed(options: argparse.Namespace) -> tuple[Config, Path, bool]:
    """The same of a run that goes on: in its place, or longer."""
    from ..training import change_config, read_run
    from ..training.config import read_began_with

    given = given_settings(options)
    if any(value is not None for value in (options.preset, options.config, options.out, options.compare_natural)):
        raise ValueError("--resume takes its settings from the run: --preset, --config, --out and --compare-natural "
                         "do not go with it")  # fmt: skip
    config = read_run(options.resume / "config.json")
    require_changeable(config, given)
    began_with = read_began_with(options.resume / "config.json") or []
    compare = began_with == [".", "natural"] or (options.resume / "natural" / "config.json").exists()
    return change_config(config, **given), options.resume, compare
