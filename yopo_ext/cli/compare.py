# SPDX-License-Identifier: MIT
"""`yopo compare`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resumable import finish
from .settings import OVERRIDES, add_settings, given_settings

if TYPE_CHECKING:
    from yopo_ext.training import TrainConfig


def add_command(commands) -> None:
    """Adds the command to the subparsers."""
    compare = commands.add_parser(
        "compare",
        help="train several methods on the same images: a table and the accuracy-time figure",
        description="The other options are those of train, for all methods; METHOD:SETTING=VALUE[:...] is for one, as "
        "free-5:epochs=4:lr=0.05. What all methods share (the images, the radius, how they are measured) is for all.",
    )
    compare.add_argument("--methods", metavar="A,B,...", help="as natural,pgd-10,free-5,fast,yopo-5-10")
    compare.add_argument("--resume", type=Path, metavar="DIR", help="go on with the comparison in this folder")
    compare.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/DATASET-comparison-TIME)")
    add_settings(compare, without=("method",))
    compare.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Trains; exit statuses as of ``yopo train``."""
    from yopo_ext.training import TrainConfig, run_comparison, started_processes

    given = given_settings(options)
    if options.resume is not None:
        if options.methods or options.out or set(given) - {"data_dir", "device"}:
            raise ValueError(
                "--resume takes its settings from the comparison; only --data-dir and --device may be given"
            )
        folder = options.resume
        found = sorted(folder.glob("*/config.json"), key=lambda path: path.stat().st_mtime_ns)
        if not found:
            raise ValueError(f"{folder}: no runs to go on with")
        configs = [TrainConfig.from_dict({**TrainConfig.read(path).to_dict(), **given}) for path in found]
    else:
        if not options.methods:
            raise ValueError("--methods: expected names separated by commas, as natural,pgd-10,yopo-5-10")
        configs = [config_of(text, given) for text in options.methods.split(",")]
        require_read_by_one(given, configs)
        folder = options.out or Path("runs") / f"{configs[0].dataset}-comparison-{time.strftime('%Y%m%d-%H%M%S')}"

    def job() -> None:
        with started_processes(configs[0].device) as (processes, device):
            # Clocks and what a file system shows differ: the first process's word counts.
            agreed, place = processes.from_first((configs, folder))
            run_comparison(agreed, place, resume=options.resume is not None, processes=processes, device=device)

    return finish(job, f"yopo compare --resume {folder}")


def config_of(text: str, common: dict[str, Any]) -> TrainConfig:
    """The configuration of ``METHOD[:SETTING=VALUE...]``: the common settings that it reads, and its own.

    Raises ``ValueError`` that quotes what is wrong.
    """
    from yopo_ext.training import TrainConfig, make_config, parse_method
    from yopo_ext.training.method_settings import unread

    method, *changes = text.split(":")
    own = dict(_own_setting(change, text) for change in changes)
    named = parse_method(method)
    ignored = unread({**TrainConfig().to_dict(), **common, **own, **named})
    read = {name: value for name, value in common.items() if name not in {*ignored, *named} or name == "data_dir"}
    return make_config(**{**read, **own, "method": method})


def _own_setting(change: str, text: str) -> tuple[str, Any]:
    from yopo_ext.training.comparison import SHARED

    kinds = {name.replace("-", "_"): kind for name, kind, _ in OVERRIDES}
    name, _, value = change.partition("=")
    name = name.replace("-", "_")
    kind = kinds.get(name)
    if kind is None or kind is bool or isinstance(kind, tuple) or not value:
        raise ValueError(f"--methods: {change!r} in {text!r} is not SETTING=VALUE with a setting of one value")
    if name in (*SHARED, "method"):
        raise ValueError(f"--methods: {change!r} in {text!r}: got {name} for one method, expected it for all")
    try:
        return name, kind(value)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ValueError(f"--methods: {change!r} in {text!r}: {error}") from error


def require_read_by_one(common: dict[str, Any], configs: Sequence[TrainConfig]) -> None:
    """Raises ``ValueError`` for a common setting that no row reads, or for which every row has its own value."""
    from yopo_ext.training.method_settings import unread

    ignored = [unread(config.to_dict()) for config in configs]
    for name, value in common.items():
        if all(name in one for one in ignored):
            raise ValueError(f"{name}: got {value!r}, but {ignored[0][name]}")
        if all(getattr(config, name) != value for config in configs):
            raise ValueError(f"{name}: got {value!r}, but every method has its own")
