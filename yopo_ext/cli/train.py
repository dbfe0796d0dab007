# SPDX-License-Identifier: MIT
"""`yopo train`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .resumable import finish
from .settings import add_settings, given_settings


def add_command(commands) -> None:
    """Adds the command to the subparsers."""
    train = commands.add_parser("train", help="train a robust classifier; without options, of handwritten digits")
    train.add_argument("--preset", help="settings by name, the papers': see the README; options override them")
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
    from yopo_ext.training import TrainConfig, make_config, run_job, started_processes

    given = given_settings(options)
    if options.resume is not None:
        elsewhere = {name: value for name, value in given.items() if name in ("data_dir", "device", "profile")}
        others = (options.preset, options.out, options.compare_natural)
        if len(given) > len(elsewhere) or any(value is not None for value in others):
            raise ValueError(
                "--resume takes its settings from the run; only --data-dir, --device and --profile may be given with it"
            )
        config = TrainConfig.from_dict({**TrainConfig.read(options.resume / "config.json").to_dict(), **elsewhere})
        folder, compare = options.resume, (options.resume / "natural" / "config.json").exists()
    else:
        config = make_config(options.preset, **given)
        folder = options.out or Path("runs") / f"{config.dataset}-{config.method}-{time.strftime('%Y%m%d-%H%M%S')}"
        compare = config.dataset == "digits" if options.compare_natural is None else options.compare_natural

    def job() -> None:
        with started_processes(config.device) as (processes, device):
            # Clocks and what a file system shows differ: the first process's word counts.
            agreed, place, natural = processes.from_first((config, folder, compare))
            run_job(
                agreed, place, compare_natural=natural, resume=options.resume is not None, processes=processes,
                device=device,
            )  # fmt: skip

    return finish(job, f"yopo train --resume {folder}")
