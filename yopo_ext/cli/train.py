# SPDX-License-Identifier: MIT
"""`yopo train`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .numbers import number

# option, type, help: each overrides the configuration's field of the same name.
OVERRIDES: tuple[tuple[str, type | object, str], ...] = (
    ("dataset", str, "digits (default, nothing to download), mnist, fashion-mnist or cifar10"),
    ("data-dir", str, "folder with the data set's files"),
    ("model", str, "digits-cnn, smallcnn, preactresnet18 or wrn-34-10"),
    ("method", str, "yopo (default), pgd or natural"),
    ("m", int, "full passes a mini-batch"),
    ("n", int, "inner steps after each pass"),
    ("pgd-steps", int, "steps of the pgd method"),
    ("eps", number, "radius, in units of images in [0, 1]; fractions like 8/255 are read"),
    ("alpha", number, "step size"),
    ("norm", str, "linf (default) or l2"),
    ("reduction", str, "of the m passes' gradients: mean (default) or sum"),
    ("first-layer-grad", str, "hamiltonian (default), backprop or both"),
    ("epochs", int, "passes over the training images"),
    ("batch-size", int, "images a mini-batch"),
    ("lr", number, "learning rate"),
    ("momentum", number, "of SGD"),
    ("weight-decay", number, "of SGD"),
    ("held-out", int, "training images to measure on instead of the test set"),
    ("limit-train", int, "train on the first N images only"),
    ("limit-eval", int, "measure on the first N images only"),
    ("eval-steps", int, "PGD steps of the final measurement"),
    ("memory-format", str, "channels_last (default) or contiguous"),
    ("seed", int, "of everything random"),
    ("device", str, "cpu (default), cuda, cuda:1, …"),
)


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
    for name, kind, text in OVERRIDES:
        train.add_argument(f"-{name}" if len(name) == 1 else f"--{name}", type=kind, help=text)
    train.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from yopo_ext.training import Interrupted, TrainConfig, TrainingError, make_config, run_job

    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name, _, _ in OVERRIDES}
    given = {name: value for name, value in given.items() if value is not None}
    if options.resume is not None:
        elsewhere = {name: value for name, value in given.items() if name in ("data_dir", "device")}
        others = (options.preset, options.out, options.compare_natural)
        if len(given) > len(elsewhere) or any(value is not None for value in others):
            raise ValueError(
                "--resume takes its settings from the run; only --data-dir and --device may be given with it"
            )
        config = TrainConfig.from_dict({**TrainConfig.read(options.resume / "config.json").to_dict(), **elsewhere})
        folder, compare = options.resume, (options.resume / "natural" / "config.json").exists()
    else:
        config = make_config(options.preset, **given)
        folder = options.out or Path("runs") / f"{config.dataset}-{config.method}-{time.strftime('%Y%m%d-%H%M%S')}"
        compare = config.dataset == "digits" if options.compare_natural is None else options.compare_natural
    try:
        run_job(config, folder, compare_natural=compare, resume=options.resume is not None)
    except Interrupted as interrupted:
        print(f"\n{interrupted}; go on with: yopo train --resume {folder}", file=sys.stderr)
        return 128 + interrupted.signal_number
    except TrainingError as error:
        print(f"yopo: {error}", file=sys.stderr)
        return 1
    return 0
