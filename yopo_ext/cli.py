# SPDX-License-Identifier: MIT
"""The `yopo` command: argument parsing, nothing else."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NoReturn


def number(text: str) -> float:
    """A float, or a fraction like 8/255."""
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number or a fraction like 8/255") from None


# option, type, help: each overrides the configuration's field of the same name.
_OVERRIDES: tuple[tuple[str, type | object, str], ...] = (
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


class _Parser(argparse.ArgumentParser):
    """Complains in one line, without the usage (`--help` prints that)."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="yopo", description="Adversarial training that costs hardly more than training.")
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a robust classifier; without options, of handwritten digits")
    train.add_argument("--preset", help="settings by name, the papers': see the README; options override them")
    train.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    train.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/DATASET-METHOD-TIME)")
    train.add_argument(
        "--compare-natural",
        action=argparse.BooleanOptionalAction,
        help="train a natural classifier too (default: for digits)",
    )
    for name, kind, text in _OVERRIDES:
        train.add_argument(f"-{name}" if len(name) == 1 else f"--{name}", type=kind, help=text)
    train.set_defaults(run=_train)

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
    evaluate.set_defaults(run=_evaluate)

    info = commands.add_parser("info", help="what was built, what this machine can run, and why not")
    info.set_defaults(run=_info)
    return parser


def _train(options: argparse.Namespace) -> int:
    from yopo_ext.training import Interrupted, TrainConfig, TrainingError, make_config, run_job

    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name, _, _ in _OVERRIDES}
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


def _evaluate(options: argparse.Namespace) -> int:
    from yopo_ext.training import evaluate_run

    report = evaluate_run(
        options.checkpoint, data_dir=options.data_dir, device=options.device, steps=options.steps,
        restarts=options.restarts, losses=options.losses, eps=options.eps, alpha=options.alpha, limit=options.limit,
        seed=options.seed,
    )  # fmt: skip
    print(report.to_json() if options.json else report.to_table())
    return 0


def _info(options: argparse.Namespace) -> int:
    from yopo_ext.build_info import describe

    print(describe())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; wrong input is one line on stderr and exit status 2."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"yopo: {error}", file=sys.stderr)
        return 2
