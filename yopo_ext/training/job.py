# SPDX-License-Identifier: MIT
"""The jobs of `yopo train` and `yopo compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import TrainConfig
from .method_names import method_name
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
    runs = {config.method: Run(config, folder)}
    if compare_natural and config.method != "natural":
        runs["natural"] = Run(natural_twin(config), folder / "natural")
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
        ValueError: also for no configuration, or two that would share a folder.
    """
    if not configs:
        raise ValueError("no methods to compare")
    names = [method_name(config) for config in configs]
    if len(set(names)) < len(names):
        raise ValueError(f"methods to compare must differ, got {', '.join(names)}")
    runs = {name: Run(config, folder / name) for name, config in zip(names, configs, strict=True)}
    return run_all(
        runs, folder, processes=processes or Processes(), device=device or configs[0].device, resume=resume, show=show
    )


def natural_twin(config: TrainConfig) -> TrainConfig:
    """The same run on natural samples, without the settings that only adversarial methods have."""
    return replace(
        config, method="natural", delay=None, bn_mode=None, steps_warmup_epochs=0.0, eps_warmup_epochs=0.0,
        staleness_every=None,
    )  # fmt: skip
