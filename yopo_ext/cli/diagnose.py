# SPDX-License-Identifier: MIT
"""`yopo diagnose`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .first_process import by_the_first

if TYPE_CHECKING:
    from ..training import RunDiagnosis


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    diagnose = commands.add_parser(
        "diagnose",
        help="the maximum principle in numbers, layer by layer",
        description="Residuals of the maximum principle (Zhang et al., NeurIPS 2019) of a run's network, on test "
        "images perturbed by the run's own method. With several checkpoints, as a folder of epochs, one line each.",
    )
    text = "a checkpoint, the folder of a run, or its folder of epochs (yopo train --keep-epochs)"
    diagnose.add_argument("checkpoints", type=Path, nargs="+", metavar="RUN", help=text)
    text = "the network's parts: modules joined by +, parts by commas, as conv1+bn1+relu,layer1,avgpool+flatten+fc"
    diagnose.add_argument("--chain", metavar="NAMES", help=f"{text} (default: our networks know theirs)")
    diagnose.add_argument("--method", metavar="NAME", help="what finds the perturbation: pgd-20 (default: the run's)")
    diagnose.add_argument("--limit", type=int, default=256, metavar="N", help="images, in one pass (default: 256)")
    diagnose.add_argument("--data-dir", help="where the data set's files are, if they moved")
    diagnose.add_argument("--device", default="auto", help="auto (default), cpu, cuda:1")
    diagnose.add_argument("--seed", type=int, default=0, help="of random starts (default: 0)")
    diagnose.add_argument("--plot", type=Path, metavar="FILE", help="draw it over the checkpoints, a PNG")
    diagnose.add_argument("--json", action="store_true", help="everything, as one JSON list")
    diagnose.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Diagnoses; 0, or 128 + SIGINT where it was interrupted. Of several processes the first one works."""
    if options.limit < 1:
        raise ValueError(f"--limit: got {options.limit}, expected at least 1")
    return by_the_first(options.device, lambda device: _diagnose(options, device))


def _diagnose(options: argparse.Namespace, device: str) -> None:
    from dataclasses import replace

    from ..training import diagnose_run, epochs_table, named_checkpoints

    files = named_checkpoints(options.checkpoints)
    found = [
        replace(
            diagnose_run(
                file, chain=options.chain, method=options.method, data_dir=options.data_dir, device=device,
                limit=options.limit, seed=options.seed,
            ),
            name=name,
        )
        for name, file in files.items()
    ]  # fmt: skip
    if options.json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
    else:
        print(found[0].to_table() if len(found) == 1 else epochs_table(found))
    if options.plot is not None:
        _draw(found, options.plot)


def _draw(found: list[RunDiagnosis], target: Path) -> None:
    from ..atomic_files import write_atomically
    from ..principle.pictures import plot_principle

    measured = [(one.name, one.found) for one in found]
    title = f"maximum principle, perturbations by {found[0].method}"
    write_atomically(target, lambda file: plot_principle(measured, file, title=title))
