# SPDX-License-Identifier: MIT
"""`yopo evaluate`."""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .argument_order import free_the_path
from .numbers import is_number, number

if TYPE_CHECKING:
    from yopo_ext.training import EvaluationPlan, Subject

_ATTACKS = ("clean", "fgsm", "pgd")
_LISTS = {
    "--attacks": _ATTACKS.__contains__,
    "--losses": ("ce", "margin", "dlr").__contains__,
    "--targeted": ("all", "next", "random", "least-likely").__contains__,
    **dict.fromkeys(("--sweep-eps", "--sweep-steps", "--mean", "--std"), is_number),
}
_FOREIGN = ("model", "dataset", "activation", "mean", "std", "prefix", "ignore_keys")


def add_command(commands) -> None:
    """Adds the command to the subparsers."""
    evaluate = commands.add_parser(
        "evaluate",
        help="accuracy of a trained network, clean and under attacks",
        description="Measures a run's network, or one whose weights somebody else trained (--weights), on test images.",
    )
    _add_subject(evaluate)
    _add_attacks(evaluate)
    evaluate.add_argument("--plots", type=Path, metavar="DIR", help="write PNG pictures into this folder")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of tables")
    evaluate.set_defaults(run=run)


def _add_subject(evaluate: argparse.ArgumentParser) -> None:
    what = evaluate.add_argument_group("what is measured")
    what.add_argument("checkpoint", type=Path, nargs="?", help="a checkpoint, or the folder of a run")
    what.add_argument("--weights", type=Path, metavar="FILE", help="a state dict; needs --model and --dataset")
    what.add_argument("--model", help="the network of --weights: smallcnn, resnet18, ...")
    what.add_argument("--dataset", help="the images of --weights: mnist, cifar10, ...")
    what.add_argument("--activation", help="of the network of --weights (default: relu)")
    what.add_argument("--mean", type=number, nargs="+", help="normalisation inside the network of --weights")
    what.add_argument("--std", type=number, nargs="+", help="the same, one value a channel")
    what.add_argument("--prefix", help="use the keys of --weights that begin so, without it")
    what.add_argument("--ignore-keys", nargs="+", metavar="PATTERN", help="keys of --weights that play no part: aux.*")
    what.add_argument("--data-dir", help="where the data set's files are, if they moved")
    what.add_argument("--limit", type=int, metavar="N", help="N images only, of each class its share")
    what.add_argument("--batch-size", type=int, default=512, help="images at a time (default: 512)")
    what.add_argument("--device", default="cpu")


def _add_attacks(evaluate: argparse.ArgumentParser) -> None:
    how = evaluate.add_argument_group("attacks")
    how.add_argument("--attacks", nargs="+", choices=_ATTACKS, help="clean is always there (default: pgd)")
    how.add_argument("--losses", nargs="+", default=["ce", "margin"], help="ce, margin, dlr (default: ce margin)")
    how.add_argument("--steps", type=int, default=40, help="PGD steps (default: 40)")
    how.add_argument("--restarts", type=int, default=1, help="PGD's random starts, the worst counts (default: 1)")
    how.add_argument("--eps", type=number, help="radius (default: that of the training)")
    how.add_argument("--alpha", type=number, help="step size of PGD (default: 2.5 eps / steps)")
    how.add_argument("--norm", choices=("linf", "l2"), help="(default: that of the training; linf for --weights)")
    how.add_argument("--targeted", nargs="+", default=[], metavar="KIND", help="targeted PGD too, towards these "
                     "classes: all, next, random, least-likely")  # fmt: skip
    how.add_argument("--autoattack", action="store_true", help="AutoAttack too: pip install 'yopo-ext[autoattack]'")
    how.add_argument("--sweep-eps", type=number, nargs="+", metavar="EPS", help="accuracy over these radii")
    how.add_argument("--sweep-steps", type=int, nargs="+", metavar="N", help="accuracy over these numbers of steps")
    how.add_argument("--transfer", type=Path, nargs="+", metavar="RUN", help="examples crafted on each of these "
                     "checkpoints, run folders or folders of epochs, measured on each other")  # fmt: skip
    how.add_argument("--seed", type=int, default=0)


def free_the_checkpoint(arguments: Sequence[str]) -> list[str]:
    """The command line with the checkpoint in front of the options that would take it for one of their values."""
    if not arguments or arguments[0] != "evaluate":
        return list(arguments)
    return ["evaluate", *free_the_path(arguments[1:], _LISTS)]


def run(options: argparse.Namespace) -> int:
    from yopo_ext.training import open_networks, run_evaluation

    if options.batch_size < 1:
        raise ValueError(f"--batch-size: got {options.batch_size}, expected at least 1")
    with _warnings_in_one_line():
        subject = _open_subject(options)
    networks = {}
    if options.transfer:
        networks = open_networks(options.transfer, subject.images, subject.dataset, device=options.device)
    plan = _plan(options, subject)
    with _warnings_in_one_line():
        try:
            found = run_evaluation(subject, plan, networks=networks, batch_size=options.batch_size, show=True)
        except ImportError as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt:
            print("yopo: interrupted", file=sys.stderr)
            return 128 + signal.SIGINT
    print(found.to_json() if options.json else found.to_table())
    return 0


def _open_subject(options: argparse.Namespace) -> Subject:
    from yopo_ext.training import checkpoint_files, open_run, open_weights

    place = {"data_dir": options.data_dir, "device": options.device, "limit": options.limit}
    given = {name: getattr(options, name) for name in _FOREIGN if getattr(options, name) is not None}
    if options.weights is not None:
        if options.checkpoint is not None:
            raise ValueError("a checkpoint and --weights: expected one of them")
        for name in ("model", "dataset"):
            if name not in given:
                raise ValueError(f"--weights needs --{name}")
        return open_weights(options.weights, **given, **place)
    if given:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} goes with --weights; a checkpoint knows its own")
    if options.checkpoint is None and not options.transfer:
        raise ValueError("expected a checkpoint, --weights or --transfer")
    return open_run(options.checkpoint or checkpoint_files(options.transfer[0])[0], **place)


def _plan(options: argparse.Namespace, subject: Subject) -> EvaluationPlan:
    from yopo_ext.evaluation import AutoAttack, fgsm, pgd_attacks
    from yopo_ext.training import EvaluationPlan

    common = {"norm": options.norm or subject.norm, "seed": options.seed}
    common["eps"] = subject.eps if options.eps is None else options.eps
    attacks = []
    alone = options.checkpoint is None and options.weights is None
    wanted = () if alone else options.attacks or ("pgd",)
    sweeps = {"eps": options.sweep_eps, "steps": options.sweep_steps}
    sweeps = {over: values for over, values in sweeps.items() if values is not None}
    if alone and (sweeps or options.attacks or options.targeted or options.autoattack):
        raise ValueError("--transfer alone makes the matrix only: name a checkpoint for the other measurements")
    if common["eps"] is None:
        if set(wanted) != {"clean"} or sweeps or options.targeted or options.autoattack or options.transfer:
            raise ValueError("--weights needs --eps, the radius of the attacks")
        return EvaluationPlan(plots=options.plots)
    pgd = {**common, "steps": options.steps, "alpha": options.alpha}
    untargeted = pgd_attacks(options.losses, **pgd, restarts=options.restarts)
    if "fgsm" in wanted:
        attacks += [fgsm(loss=name, **common) for name in options.losses]
    if "pgd" in wanted:
        attacks += untargeted
    for targets in options.targeted:
        attacks += pgd_attacks(options.losses, **pgd, restarts=options.restarts, targets=targets)
    if options.autoattack:
        attacks.append(AutoAttack(**common))
    # One start: a transfer attack makes one example of an image.
    transfer = pgd_attacks(options.losses[:1], **pgd)[0] if options.transfer else None
    return EvaluationPlan(tuple(attacks), sweeps, transfer, options.plots)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"yopo: warning: {message}", file=sys.stderr)
        yield
