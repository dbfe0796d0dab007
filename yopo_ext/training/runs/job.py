# SPDX-License-Identifier: MIT
"""The jobs of `yopo train` and `yopo compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...adversaries.method import METHODS, Method
from ...options import options_of
from ..config import Config, change_config
from ..events.event import EVENTS
from ..host import Processes
from .comparison import check_rows, row_labels, row_names
from .cost_report import check_thresholds
from .outcome import Row
from .run_all import run_all


def run_job(
    config: Config,
    folder: Path,
    *,
    compare_natural: bool,
    resume: bool,
    processes: Processes | None = None,
    device: str | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """One run, and a natural one beside it if asked. Returns and raises as `run_all`.

    Args:
        folder: of the run; the natural one's is ``natural`` inside.
        compare_natural: whether there is one: the same run but for the attack.
        resume: go on with what is in the folder.
        processes: those that share the run; None: one.
        device: None: the configuration's.
        show: print progress.
    """
    rows = {config.method.name: Row(config, folder, config.label)}
    if compare_natural and config.method.name != "natural":
        natural = natural_twin(config)
        rows["natural"] = Row(natural, folder / "natural", natural.label)
    return run_all(
        rows, folder, processes=processes or Processes(), device=device or config.host.device, resume=resume, show=show
    )


def run_comparison(
    configs: Sequence[Config],
    folder: Path,
    *,
    resume: bool,
    processes: Processes | None = None,
    device: str | None = None,
    show: bool = True,
    reach: Sequence[float] | None = None,
) -> dict[str, Any]:
    """One run a configuration, each in a folder of its name (`row_names`); else as `run_all`.

    Args:
        reach: robust accuracies of the curve in percent, whose cost in seconds and units is told of each run; None: the
            largest multiples of 10 that one of the runs comes to.

    Raises:
        ValueError: also for no configuration, two that would share a folder, or other images or measurements, and for
            an accuracy to reach that is none.
    """
    check_rows(configs)
    check_thresholds(reach or ())
    rows = {
        name: Row(config, folder / name, label)
        for name, config, label in zip(row_names(configs), configs, row_labels(configs), strict=True)
    }
    return run_all(
        rows,
        folder,
        processes=processes or Processes(),
        device=device or configs[0].host.device,
        resume=resume,
        show=show,
        reach=reach,
    )


def natural_twin(config: Config) -> Config:
    """The same run on natural samples, without the settings that only adversarial methods have.

    Where those sum over m passes, one pass takes m times their learning rate.
    """
    changes = _without_meaning(config, METHODS["natural"])
    if config.get("reduction") == "sum":
        changes["lr"] = config["lr"] * config["m"]
        if "first_layer_milestones" in config.settings():
            changes["first_layer_milestones"] = None
    return change_config(config, method="natural", **changes)


def _without_meaning(config: Config, method: Method) -> dict[str, Any]:
    """The events' settings that mean nothing to a method, at their defaults."""
    found: dict[str, Any] = {}
    for one in config.events:
        reads = EVENTS[one.name].reads
        if reads is not None:
            plain = type(one.options)()
            found |= {name: getattr(plain, name) for name in options_of(type(plain)) if not reads(name, method)}
    return found
