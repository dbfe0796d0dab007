# SPDX-License-Identifier: MIT
"""`yopo compare`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resumable import finish
from .settings import add_settings, flag_of, given_settings, parser_of

if TYPE_CHECKING:
    from ..training import Config

_TRUTH = {"true": True, "false": False}


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    compare = commands.add_parser(
        "compare",
        help="train several methods on the same images: a table and the accuracy-time figure",
        description="The other options are those of train, for all methods; METHOD:SETTING=VALUE[:...] is for one, as "
        "free-5:epochs=4:lr=0.05. One method may come at several settings: yopo-5-3,yopo-5-3:alpha=0.02, or "
        "pgd-10:seed=1,pgd-10:seed=2. What all methods share (images, radius, how they are measured) is for all.",
    )
    compare.add_argument("--methods", metavar="A,B,...", help="as natural,pgd-10,free-5,fast,yopo-5-10:alpha=0.02")
    compare.add_argument("--config", type=Path, metavar="FILE", help="settings from a file, for all methods")
    compare.add_argument("--resume", type=Path, metavar="DIR", help="go on with the comparison in this folder")
    compare.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/DATASET-comparison-TIME)")
    compare.add_argument(
        "--reach", metavar="A,B,...", help="robust accuracies in percent, as 30,40,50: tell what they cost each method "
        "in seconds and in forward passes an image (default: the largest multiples of 10 that one comes to)",
    )  # fmt: skip
    add_settings(compare, without=("method",))
    compare.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Trains; exit statuses as of ``yopo train``."""
    from ..training import run_comparison, started_processes

    configs, folder = _resumed(options) if options.resume is not None else _new(options)
    reach = _accuracies(options.reach)

    def job() -> None:
        with started_processes(configs[0].host.device) as (processes, device):
            # Clocks and what a file system shows differ: the first process's word counts.
            agreed, place = processes.from_first((configs, folder))
            resume = options.resume is not None
            run_comparison(agreed, place, resume=resume, processes=processes, device=device, reach=reach)

    return finish(job, f"yopo compare --resume {folder}")


def _new(options: argparse.Namespace) -> tuple[list[Config], Path]:
    """The rows of a new comparison, and its folder."""
    given = given_settings(options)
    if not options.methods:
        raise ValueError("--methods: expected names separated by commas, as natural,pgd-10,yopo-5-10")
    common = {**_of_file(options.config), **given}
    configs = [config_of(text, common) for text in options.methods.split(",")]
    require_read_by_one(given, configs)
    name = f"{configs[0].data.dataset}-comparison-{time.strftime('%Y%m%d-%H%M%S')}"
    return configs, options.out or Path("runs") / name


def _resumed(options: argparse.Namespace) -> tuple[list[Config], Path]:
    from ..training import change_config, read_run
    from ..training.runs.comparison import rows_in

    given, folder = given_settings(options), options.resume
    if options.methods or options.config or options.out or set(given) - {"data_dir", "device"}:
        raise ValueError("--resume takes its settings from the comparison; only --data-dir and --device may be given")
    return [change_config(read_run(path), **given) for path in rows_in(folder)], folder


def _accuracies(text: str | None) -> list[float] | None:
    """Of ``--reach``."""
    from ..training.runs.cost_report import check_thresholds

    if text is None:
        return None
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        raise ValueError(f"--reach: got {text!r}, expected numbers separated by commas, as 30,40,50") from None
    check_thresholds(values)
    return values


def _of_file(path: Path | None) -> dict[str, Any]:
    from ..training.config import read_settings

    return {} if path is None else read_settings(path)


def config_of(text: str, common: Mapping[str, Any]) -> Config:
    """The configuration of ``METHOD[:SETTING=VALUE...]``: the common settings that it reads, and its own.

    Raises ``ValueError`` that quotes what is wrong.
    """
    from ..adversaries.method import METHODS
    from ..training import make_config, parse_method

    method, *changes = text.split(":")
    own = dict(_own_setting(change, text) for change in changes)
    named = parse_method(method)
    shared = _choices(common)
    if not METHODS[named["method"]].starts:
        shared.pop("start", None)
    bare = make_config(**{**shared, **_choices(own), "method": method})
    read = {name: value for name, value in common.items() if bare.reads(name) and name not in named}
    return make_config(**{**read, **own, "method": method})


def _choices(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which settings there are, and the images whose recipe serves; an objective may want members."""
    names = ("dataset", "start", "objective", "members", "head", "optimizer", "schedule")
    return {name: settings[name] for name in names if name in settings}


def _own_setting(change: str, text: str) -> tuple[str, Any]:
    from ..training.config.layout import KINDS, homes, source_homes
    from ..training.runs.comparison import SHARED

    name, _, value = change.partition("=")
    name = name.replace("-", "_")
    if name in (*SHARED, *source_homes(), "method"):
        raise ValueError(f"--methods: {change!r} in {text!r}: got {name} for one method, expected it for all")
    if name in KINDS:
        return name, value
    one = homes()[name][0].option if name in homes() else None
    if one is not None and one.host:
        raise ValueError(f"--methods: {change!r} in {text!r}: got {name} for one method, expected it for all")
    if one is None or one.several or not value:
        raise ValueError(f"--methods: {change!r} in {text!r} is not SETTING=VALUE with a setting of one value")
    if one.kind is bool and value not in _TRUTH:
        raise ValueError(f"--methods: {change!r} in {text!r}: got {value!r}, expected true or false")
    try:
        return name, _TRUTH[value] if one.kind is bool else parser_of(one)(value)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ValueError(f"--methods: {change!r} in {text!r}: {error}") from error


def require_read_by_one(common: Mapping[str, Any], configs: Sequence[Config]) -> None:
    """Raises ``ValueError`` for a common setting that no row reads, or for which every row has its own value."""
    for name, value in common.items():
        readers = [config for config in configs if config.reads(name)]
        if not readers:
            raise ValueError(
                f"{name}: got {value!r}, but none of these methods reads it: see {flag_of(name)} in --help"
            )
        if all(config[name] != value for config in readers):
            raise ValueError(f"{name}: got {value!r}, but every method has its own")
