# SPDX-License-Identifier: MIT
"""`yopo cuts`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .first_process import by_the_first
from .numbers import number

if TYPE_CHECKING:
    from ..training import RunCuts


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    cuts = commands.add_parser(
        "cuts",
        help="what frozen steps buy, by how deep into the network the first layer reaches",
        description="Follows n steps with the co-state frozen inside each cut of a run's network, on test images: how "
        "well the frozen gradient points, and what the steps gain beyond the first gradient repeated, for their cost.",
    )
    cuts.add_argument("checkpoint", type=Path, metavar="RUN", help="a checkpoint or the folder of a run")
    text = "modules that first layers are to end with, as conv1 layer1.0 (default: all not too deep)"
    cuts.add_argument("--cuts", nargs="+", metavar="NAME", help=text)
    cuts.add_argument("--n", type=int, help="inner steps (default: the run's, and at least 5)")
    cuts.add_argument("--eps", type=number, help="radius, images in [0, 1]; 8/255 is read (default: the run's)")
    cuts.add_argument("--alpha", type=number, help="step size, likewise (default: the run's, or a quarter of eps)")
    text = "choose m, n and a cut: the cheapest that gain this share of the loss that ten fresh steps gain, as 0.9"
    cuts.add_argument("--tune", type=number, metavar="SHARE", help=text)
    cuts.add_argument("--settings", action="store_true", help="with --tune: print nothing but options for yopo train")
    cuts.add_argument("--limit", type=int, default=256, metavar="N", help="images, in one pass (default: 256)")
    cuts.add_argument("--data-dir", help="where the data set's files are, if they moved")
    cuts.add_argument("--device", default="auto", help="auto (default), cpu, cuda:1")
    cuts.add_argument("--seed", type=int, default=0, help="of the random start (default: 0)")
    cuts.add_argument("--plot", type=Path, metavar="FILE", help="draw it, a PNG")
    cuts.add_argument("--json", action="store_true", help="everything, as JSON")
    cuts.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measures; 0, or 128 + SIGINT where it was interrupted. Of several processes the first one works."""
    for name in ("limit", "n"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name}: got {getattr(options, name)}, expected at least 1")
    if options.tune is not None and not 0 < options.tune <= 1:
        raise ValueError(f"--tune: got {options.tune:g}, expected above 0 and at most 1")
    if options.settings and (options.tune is None or options.json):
        raise ValueError("--settings: goes with --tune SHARE, and without --json")
    return by_the_first(options.device, lambda device: _measure(options, device))


def _measure(options: argparse.Namespace, device: str) -> None:
    from ..training import cuts_of_run

    found = cuts_of_run(
        options.checkpoint, cuts=options.cuts, n=options.n, eps=options.eps, alpha=options.alpha, tune=options.tune,
        data_dir=options.data_dir, device=device, limit=options.limit, seed=options.seed,
    )  # fmt: skip
    if options.json:
        print(json.dumps(found.to_dict(), indent=2))
    elif options.settings:
        print(found.settings)
    else:
        _print(found)
    if options.plot is not None:
        _draw(found, options.plot)


def _print(found: RunCuts) -> None:
    print(f"{found.name}\n{found.report.to_table()}")
    if found.tuning is not None:
        print(f"\n{found.tuning.to_table()}\nyopo train {found.settings} ...")


def _draw(found: RunCuts, target: Path) -> None:
    from ..atomic_files import write_atomically
    from ..evaluation.cut_picture import plot_cuts

    write_atomically(target, lambda file: plot_cuts(found.report, file, title=f"what a cut buys, {found.name}"))
