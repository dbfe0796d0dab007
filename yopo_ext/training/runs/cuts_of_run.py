# SPDX-License-Identifier: MIT
"""The job of `yopo cuts`: what frozen steps buy in the network of a run, by its cuts, and which of them to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...adversaries.method import METHODS
from ...data import to_float
from ...evaluation.cut_report import CutReport, cut_report
from ...evaluation.cut_tuning import CutTuning, Setting, tune_cut
from ...evaluation.image_source import device_of
from ..config import Config
from .objective import make_objective
from .subjects import open_run
from .trained import open_checkpoint, trained_ball

#: Images that are looked at, all in one pass.
CUT_IMAGES = 256
#: Steps that are followed where the run has fewer, or no n.
CUT_STEPS = 5
#: Crafts as a setting does, for runs whose method has no m and n.
_ATTACK = "yopo-attack"


@dataclass(frozen=True)
class RunCuts:
    """What was found of a run's network: `report`, and `tuning` where it was asked for."""

    config: Config
    name: str
    report: CutReport
    tuning: CutTuning | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        tuning = None if self.tuning is None else {**self.tuning.to_dict(), "settings_to_train": self.settings}
        return {"name": self.name, "report": self.report.to_dict(), "tuning": tuning}

    @property
    def settings(self) -> str:
        """The tuned setting as options of `yopo train`, for the run's own method where it moves in the first layer."""
        if self.tuning is None:
            raise ValueError("tune: got none, expected a share of the loss that fresh steps gain")
        return training_options(self.config, self.tuning.chosen)


def cuts_of_run(
    path: Path,
    *,
    cuts: Sequence[str] | None = None,
    n: int | None = None,
    eps: float | None = None,
    alpha: float | None = None,
    tune: float | None = None,
    data_dir: str | None = None,
    device: str = "cpu",
    limit: int = CUT_IMAGES,
    seed: int = 0,
) -> RunCuts:
    """A checkpoint's network on its run's test images.

    Args:
        path: a checkpoint or a run's folder.
        cuts: names of modules; None: as `cut_report`.
        n, eps, alpha: None: the run's own, and at least `CUT_STEPS` steps; a quarter of eps, where that is another than
            the run's, or its step is as wide.
        tune: the share of the loss that fresh steps gain which m, n and a cut are chosen for; None: no choice.
        data_dir, device: as for `open_run`.
        limit: images, all in one pass.
        seed: of the random start.

    Raises:
        ValueError: as `cut_report` and `tune_cut`; a checkpoint that cannot be read.
    """
    subject = open_run(path, data_dir=data_dir, device=device, limit=limit)
    config, state = open_checkpoint(path)
    images = subject.images.in_memory(device_of(subject.model))
    x, y = to_float(images.images), images.labels
    ball = trained_ball(config, state)
    radius = ball.eps if eps is None else eps
    # Single-step methods have a step as wide as the ball.
    own = ball.alpha if eps is None and ball.alpha < ball.eps else radius / 4
    steps = max(config.get("n", 0), CUT_STEPS) if n is None else n
    options: dict[str, Any] = {
        "cuts": cuts, "eps": radius, "loss": make_objective(config).attack, "norm": ball.norm, "seed": seed,
    }  # fmt: skip
    report = cut_report(subject.model, x, y, alpha=own if alpha is None else alpha, n=steps, **options)
    tuning = None if tune is None else tune_cut(subject.model, x, y, alpha=alpha, share=tune, **options)
    return RunCuts(config, subject.name, report, tuning)


def training_options(config: Config, chosen: Setting) -> str:
    """Options of `yopo train` that craft as the setting does.

    Of the run's own method where it takes m and n, else of YOPO as an attack. Where passes are for the weights too,
    these see η before the last n steps, so that there is one pass more than the setting has.
    """
    own = config.declared_method
    method = own if own.in_first_layer and own.numbers == ("m", "n") else METHODS[_ATTACK]
    passes = chosen.m + 1 if method.weights_before_steps else chosen.m
    return f"--method {method.name}-{passes}-{chosen.n} --cut {chosen.cut} --alpha {chosen.alpha:.6g}"
