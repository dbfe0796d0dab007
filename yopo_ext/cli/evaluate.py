# SPDX-License-Identifier: MIT
"""`yopo evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .numbers import number


def add_command(commands) -> None:
    """Adds the command to the subparsers."""
    evaluate = commands.add_parser("evaluate", help="clean and PGD accuracy of a run")
    evaluate.add_argument("checkpoint", type=Path, help="a checkpoint, or the folder of a run")
    evaluate.add_argument("--data-dir", help="where the data set's files are, if they moved")
    evaluate.add_argument("--steps", type=int, default=40, help="PGD steps (default: 40)")
    evaluate.add_argument("--restarts", type=int, default=1, help="random starts, the worst counts (default: 1)")
    evaluate.add_argument("--losses", nargs="+", default=["ce", "margin"], help="ce, margin (default: both)")
    evaluate.add_argument("--eps", type=number, help="radius (default: that of the training)")
    evaluate.add_argument("--alpha", type=number, help="step size (default: 2.5 eps / steps)")
    evaluate.add_argument("--limit", type=int, metavar="N", help="the first N images only")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--device", default="cpu")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from yopo_ext.training import evaluate_run

    report = evaluate_run(
        options.checkpoint, data_dir=options.data_dir, device=options.device, steps=options.steps,
        restarts=options.restarts, losses=options.losses, eps=options.eps, alpha=options.alpha, limit=options.limit,
        seed=options.seed,
    )  # fmt: skip
    print(report.to_json() if options.json else report.to_table())
    return 0
