# SPDX-License-Identifier: MIT
"""`yopo evaluate`."""

from __future__ import annotations

import argparse
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .argument_order import free_the_paths
from .attack_options import add_attack_options, list_words
from .evaluation_plan import CLEAN, DEFAULT, OWN_LOSS, plan_of
from .numbers import is_number, number
from .settings import add_source_settings, given_source_settings
from .speaker import say

if TYPE_CHECKING:
    from torch import nn

    from ..training import Evaluation, Processes, Subject

# A batch under AutoAttack may take hours, and a process without one waits for it.
_PATIENCE = timedelta(days=7)
# What holds one row a network, and no curves.
_TABLES_ALONE = ("csv", "markdown")
_FOREIGN = ("model", "dataset", "activation", "mean", "std", "prefix", "ignore_keys")


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    evaluate = commands.add_parser(
        "evaluate",
        help="accuracy of a trained network, clean and under attacks",
        description="Measures a run's network, or one whose weights somebody else trained (--weights), on test images.",
    )
    _add_subject(evaluate)
    _fill_when_used(evaluate)
    evaluate.add_argument("--plots", type=Path, metavar="DIR", help="write PNG pictures into this folder")
    formats = {"dest": "format", "default": "table"}
    evaluate.add_argument("--format", choices=("table", "json", "csv", "markdown"), help="(default: table)", **formats)
    evaluate.add_argument("--json", action="store_const", const="json", help="the same as --format json", **formats)
    evaluate.set_defaults(run=run)


def _fill_when_used(evaluate: argparse.ArgumentParser) -> None:
    """Adds the options of attacks at the first use: to know them is to import torch, which other commands do not."""
    parse = evaluate.parse_known_args

    def fill_and_parse(*args: Any, **options: Any) -> Any:
        evaluate.parse_known_args = parse  # type: ignore[method-assign]
        try:
            _add_attacks(evaluate)
            add_source_settings(evaluate)
        except (ImportError, ValueError) as error:  # of another package's attacks
            evaluate.error(str(error))
        return parse(*args, **options)

    evaluate.parse_known_args = fill_and_parse  # type: ignore[method-assign]


def _add_subject(evaluate: argparse.ArgumentParser) -> None:
    what = evaluate.add_argument_group("what is measured")
    text = "a checkpoint, or the folder of a run; several, or a folder of epochs, make one table"
    what.add_argument("checkpoints", type=Path, nargs="*", metavar="checkpoint", help=text)
    text = "of a run that averaged its weights (default: average); others have their last ones only"
    what.add_argument("--weights-of", choices=("average", "last"), default="average", help=text)
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
    what.add_argument(
        "--device", default="auto", help="auto (default): cuda where there is one, else cpu; or cpu, cuda:1"
    )


def _add_attacks(evaluate: argparse.ArgumentParser) -> None:
    from ..adversaries.gradient_step import IN_KERNEL, IN_KERNEL_HELP
    from ..detectors import DETECTORS
    from ..evaluation import ATTACKS

    how = evaluate.add_argument_group("attacks and detectors")
    kinds = "; ".join(f"{kind.name}: {kind.help}" for kind in ATTACKS)
    how.add_argument(
        "--attacks", nargs="+", choices=(CLEAN, *ATTACKS.names), metavar="NAME",
        help=f"clean, which is always there, or kinds of attacks (default: {DEFAULT}; {OWN_LOSS} too where the "
        f"objective reads distances to centres). {kinds}".replace("%", "%%"),
    )  # fmt: skip
    how.add_argument("--eps", type=number, help="radius, images in [0, 1]; 8/255 is read (default: the training's)")
    how.add_argument("--norm", choices=("linf", "l2"), help="(default: that of the training; linf for --weights)")
    how.add_argument("--seed", type=int, default=0, help="of all that attacks draw (default: 0)")
    how.add_argument("--attack-in-kernel", choices=IN_KERNEL, default="auto", help=f"{IN_KERNEL_HELP} (default: auto)")
    how.add_argument("--sweep-eps", type=number, nargs="+", metavar="EPS", help="accuracy over these radii")
    how.add_argument("--sweep-steps", type=int, nargs="+", metavar="N", help="accuracy over these numbers of steps")
    how.add_argument("--transfer", type=Path, nargs="+", metavar="RUN", help="examples crafted on each of these "
                     "checkpoints, run folders or folders of epochs, measured on each other")  # fmt: skip
    how.add_argument("--cross-section", type=int, metavar="N", help="with --plots: the classes around N images, in the "
                     "plane of the attack's direction and a random one")  # fmt: skip
    text = "the same of an ensemble's members, each and all together"
    how.add_argument("--member-transfer", action="store_true", help=text)
    kinds = "; ".join(f"{kind.name}: {kind.help}" for kind in DETECTORS)
    how.add_argument(
        "--detectors", nargs="+", choices=DETECTORS.names, metavar="NAME",
        help=f"what is to find these attacks, fitted on training images. {kinds}".replace("%", "%%"),
    )  # fmt: skip
    how.add_argument("--fit-images", type=int, metavar="N", help="training images to fit on (default: 10000)")
    how.add_argument("--false-alarms", type=number, help="share of clean images they may refuse (default: 0.05)")
    text = "of the attack that knows the detector (default: 100; 0: without it)"
    how.add_argument("--adaptive-steps", type=int, metavar="N", help=text)
    how.add_argument("--density", action="store_true", help="distances of features to the centres of their "
                     "classes, clean and under the attack that pictures show, and how densely they lie")  # fmt: skip
    add_attack_options(evaluate, how)


def free_the_checkpoints(arguments: Sequence[str]) -> list[str]:
    """The command line with the checkpoints in front of the options that would take it for one of their values."""
    if not arguments or arguments[0] != "evaluate":
        return list(arguments)
    return ["evaluate", *free_the_paths(arguments[1:], _lists())]


def _lists() -> dict[str, Callable[[str], bool]]:
    from ..detectors import DETECTORS
    from ..evaluation import ATTACKS

    numbers: dict[str, Callable[[str], bool]] = dict.fromkeys(
        ("--sweep-eps", "--sweep-steps", "--mean", "--std"), is_number
    )
    try:
        return {
            "--attacks": (CLEAN, *ATTACKS.names).__contains__, "--detectors": DETECTORS.names.__contains__,
            **list_words(), **numbers,
        }  # fmt: skip
    except (ImportError, ValueError):  # the parser meets it again, and can say so
        return numbers


def run(options: argparse.Namespace) -> int:
    """Measures, in one process or in several that `torchrun` started.

    Returns 0; 1 where one of several networks could not be measured; 128 + SIGINT where it was interrupted.
    """
    from ..training import started_processes

    for name, value in (("--batch-size", options.batch_size), ("--limit", options.limit)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: got {value}, expected at least 1")
    try:
        with started_processes(options.device, patience=_PATIENCE) as (processes, device), _warnings_in_one_line():
            if _is_many(options):
                return _run_many(options, processes, device)
            found = _evaluate(options, processes, device)
    except ImportError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        say("yopo: interrupted")
        return 128 + signal.SIGINT
    if processes.is_first:
        print(found.to_json() if options.format == "json" else found.to_table())
    return 0


def _evaluate(options: argparse.Namespace, processes: Processes, device: str) -> Evaluation:
    from ..training import open_networks, run_evaluation

    with processes.together():
        subject = _open_subject(options, next(iter(options.checkpoints), None), device)
        networks = {}
        if options.member_transfer and options.transfer:
            raise ValueError("--transfer and --member-transfer: expected one of them")
        if options.member_transfer:
            networks = _members(subject)
        if options.transfer:
            networks = open_networks(
                options.transfer,
                subject.images,
                subject.dataset,
                device=device,
                last_weights=options.weights_of == "last",
            )
        plan = plan_of(options, subject)
    return run_evaluation(
        subject, plan, networks=networks, batch_size=options.batch_size, show=True, processes=processes,
        begin=lambda: _say_device(options, device),
    )  # fmt: skip


def _members(subject: Subject) -> dict[str, nn.Module]:
    """An ensemble's members, and the ensemble, for a transfer matrix."""
    from ..models import Ensemble

    if not isinstance(subject.model, Ensemble):
        raise ValueError(f"--member-transfer: {subject.name} is no ensemble, expected a run with --members")
    return {**subject.model.alone(), "ensemble": subject.model}


def _is_many(options: argparse.Namespace) -> bool:
    """Whether the result is one table, a row a network."""
    from ..training import CheckpointError, checkpoint_files

    if options.format in _TABLES_ALONE or len(options.checkpoints) > 1:
        return True
    try:
        return any(len(checkpoint_files(path)) > 1 for path in options.checkpoints)
    except CheckpointError:
        return False  # opening it says so


def _run_many(options: argparse.Namespace, processes: Processes, device: str) -> int:
    from ..training import evaluate_many

    of_one = {
        "--transfer": options.transfer, "--weights": options.weights, "--cross-section": options.cross_section,
        "--detectors": options.detectors, "--member-transfer": options.member_transfer or None,
        "--density": options.density or None,
    }  # fmt: skip
    sweeps = {"--sweep-eps": options.sweep_eps, "--sweep-steps": options.sweep_steps}
    for flag, value in {**of_one, **(sweeps if options.format in _TABLES_ALONE else {})}.items():
        if value is not None:
            several = "" if flag in sweeps else "one checkpoint and "
            raise ValueError(f"{flag}: goes with {several}--format table or json, got several or another")
    if options.plots is not None and all(value is None for value in sweeps.values()):
        raise ValueError("--plots: several networks have a picture of their sweeps: add --sweep-eps or --sweep-steps")
    if not options.checkpoints:
        raise ValueError("expected a checkpoint or the folder of a run")
    found = evaluate_many(
        options.checkpoints, lambda path: _open_subject(options, path, device),
        lambda subject: replace(plan_of(options, subject), plots=None), batch_size=options.batch_size, show=True,
        plots=options.plots, processes=processes, begin=lambda: _say_device(options, device),
    )  # fmt: skip
    if processes.is_first:
        print(getattr(found, f"to_{options.format}")())
    for name, reason in found.failures.items():
        say(f"yopo: {name}: {reason}")
    if "interrupted" in found.failures.values():
        return 128 + signal.SIGINT
    return 1 if found.failures else 0


def _say_device(options: argparse.Namespace, device: str) -> None:
    from ..training import chosen_device_text

    if options.device not in (device, "cuda"):  # of several processes "cuda" is each one's own
        say(chosen_device_text(options.device, device))


def _open_subject(options: argparse.Namespace, checkpoint: Path | None, device: str) -> Subject:
    from ..training import checkpoint_files, open_run, open_weights

    place = {
        "data_dir": options.data_dir, "device": device, "limit": options.limit,
        "source": given_source_settings(options),
    }  # fmt: skip
    given = {name: getattr(options, name) for name in _FOREIGN if getattr(options, name) is not None}
    if options.weights is not None:
        if checkpoint is not None:
            raise ValueError("a checkpoint and --weights: expected one of them")
        if options.weights_of != "average" and not options.transfer:
            raise ValueError("--weights-of: goes with a checkpoint; --weights has those of its file only")
        for name in ("model", "dataset"):
            if name not in given:
                raise ValueError(f"--weights needs --{name}")
        return open_weights(options.weights, **given, **place)
    if given:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} goes with --weights; a checkpoint knows its own")
    if checkpoint is None and not options.transfer:
        raise ValueError("expected a checkpoint, --weights or --transfer")
    path = checkpoint or checkpoint_files(options.transfer[0])[0]
    return open_run(path, last_weights=options.weights_of == "last", **place)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"yopo: warning: {message}")
        yield
