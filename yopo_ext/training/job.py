# SPDX-License-Identifier: MIT
"""The jobs of `yopo train` and `yopo compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .comparison import check_rows, row_labels
from .config import TrainConfig
from .method_names import method_label, method_name
from .processes import Processes
from .runs import Run, run_all


def run_job(
    config: TrainConfig,
    folder: Path,
    *,
    compare_natural: bool,
    resume: bool,
    processes: Processes | None = None,
    device: str | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """One run in ``folder``, and a natural one in the folder ``natural`` inside if asked; else as `run_all`."""
    runs = {config.method: Run(config, folder, method_label(config))}
    if compare_natural and config.method != "natural":
        natural = natural_twin(config)
        runs["natural"] = Run(natural, folder / "natural", method_label(natural))
    return run_all(
        runs, folder, processes=processes or Processes(), device=device or config.device, resume=resume, show=show
    )


def run_comparison(
    configs: Sequence[TrainConfig],
    folder: Path,
    *,
    resume: bool,
    processes: Processes | None = None,
    device: str | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """One run a configuration, each in a folder named for its method; else as `run_all`.

    Raises:
        ValueError: also for no configuration, two that would share a folder, or other images or measurements.
    """
    check_rows(configs)
    runs = {
        method_name(config): Run(config, folder / method_name(config), label)
        for config, label in zip(configs, row_labels(configs), strict=True)
    }
    return run_all(
        runs, folder, processes=processes or Processes(), device=device or configs[0].device, resume=resume, show=show
    )


def natural_twin(config: TrainConfig) -> TrainConfig:
    """The same run on natural samples, without the settings that only adversarial methods have.

    Where those sum over m passes, one pass takes m times their learning rate.
    """
    summed: dict[str, Any] = {}
    if config.method == "yopo" and config.reduction == "sum":
        summed = {"lr": config.lr * config.m, "reduction": "mean", "first_layer_milestones": None}
    return replace(
        config, method="natural", delay=None, bn_mode=None, steps_warmup_epochs=0.0, eps_warmup_epochs=0.0,
        staleness_every=None, **summed,
    )  # fmt: skip
