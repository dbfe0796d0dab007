# SPDX-License-Identifier: MIT
"""The job of `yopo diagnose`: the maximum principle in numbers, for networks that runs have trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...adversaries.crafting_mode import model_in
from ...adversaries.method import METHODS, Ingredients
from ...adversaries.starts import STARTS, Start
from ...ball import Ball
from ...data import Dataset, to_float
from ...evaluation import format_table
from ...evaluation.image_source import device_of
from ...input_gradient import relative_error
from ...principle import MaximumPrinciple, maximum_principle, trajectory
from ...random_streams import derive_seed
from ..config import Config, change_config
from ..host import Processes
from .first_layer import choose_first_layer
from .objective import make_objective
from .start import start_of
from .subjects import checkpoint_files, open_run, short_names
from .trained import open_checkpoint, trained_ball

#: Images that are looked at, all in one pass.
IMAGES = 256


@dataclass(frozen=True)
class Stale:
    """What the pass that a method made last, after which η moved on, is worth at η.

    Attributes:
        found: with its states and co-states.
        drift: of its co-state p_1, against that of a pass at η: relative error.
    """

    found: MaximumPrinciple
    drift: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"found": self.found.to_dict(), "drift": self.drift}


@dataclass(frozen=True)
class RunDiagnosis:
    """What was found of one checkpoint.

    Attributes:
        name: of the checkpoint, short.
        method: what found the perturbation, as papers print it.
        found: at that perturbation, with the states and co-states of a pass there.
        stale: with those of the method's own last pass; None where that was there too.
    """

    name: str
    method: str
    found: MaximumPrinciple
    stale: Stale | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        stale = None if self.stale is None else self.stale.to_dict()
        return {"name": self.name, "method": self.method, "found": self.found.to_dict(), "stale": stale}

    def to_table(self) -> str:
        """The table of the layers, then what had grown stale."""
        lines = [f"{self.name}, perturbation by {self.method}", self.found.to_table()]
        if self.found.adversary is None:
            lines.append(f"adversary (5): perturbations of {self.method} leave the ball that it is about")
        if self.stale is None:
            return "\n".join([*lines, f"{self.method} made its last pass at this very perturbation: nothing is stale"])
        old = self.stale.found
        moved = f"state 1 is off by {_figure(old.layers[0].state)}, co-state 1 by {_figure(self.stale.drift)}"
        lines.append(f"since the last pass of {self.method} the perturbation has moved: {moved}")
        if old.adversary is not None:
            lines.append(f"by that pass's co-state H_0 is {old.adversary.gap:.3g} above its least found value")
        return "\n".join(lines)


def diagnose_run(
    path: Path,
    *,
    chain: str | None = None,
    method: str | None = None,
    data_dir: str | None = None,
    device: str = "cpu",
    limit: int = IMAGES,
    seed: int = 0,
) -> RunDiagnosis:
    """A checkpoint's network on its run's test images, at the perturbation that its own method finds there.

    The method runs once over the images with the weights held and in evaluation mode, from the run's own start and what
    that remembers; from a random one where it remembers training images. Adversaries that keep η from one mini-batch to
    the next start at 0.

    Args:
        path: a checkpoint or a run's folder.
        chain: the network's parts by name, as for `yopo_ext.layer_chain.chain_of`; None: its own.
        method: another one to find the perturbation, as "pgd-20"; None: the run's.
        data_dir, device: as for `open_run`.
        limit: images, all in one pass.
        seed: of random starts.

    Raises:
        ValueError: a checkpoint that cannot be read, a network that is no chain of these parts, a method that keeps no
            perturbation.
    """
    subject = open_run(path, data_dir=data_dir, device=device, limit=limit)
    config, state = open_checkpoint(path)
    weight_decay = config.get("weight_decay", 0.0)
    config = config if method is None else change_config(config, method=method)
    images = subject.images.in_memory(device_of(subject.model))
    x, y = to_float(images.images), images.labels
    own = trained_ball(config, state) if method is None else config.ball
    ball = Ball(own.eps, own.alpha, norm=own.norm)
    data = Dataset(subject.dataset, images, images)
    generator = torch.Generator(x.device).manual_seed(derive_seed(seed, "diagnosis"))
    start = _start(config, data, generator, state)
    eta, last = _perturbation(config, subject.model, data, ball, generator, start)
    options: dict[str, Any] = {
        "eta": eta, "ball": ball if _is_inside(ball, x, eta) else None, "loss": make_objective(config),
        "weight_decay": weight_decay, "seed": seed,
    }  # fmt: skip
    found = maximum_principle(subject.model, x, y, chain=chain, **options)
    stale = None
    if last is not None and not torch.equal(last, x + eta):
        earlier, now = (trajectory(subject.model, u, y, chain=chain, loss=options["loss"]) for u in (last, x + eta))
        drift = relative_error(earlier.costates[1], now.costates[1])
        stale = Stale(maximum_principle(subject.model, x, y, at=earlier, **options), drift)
    label = config.label
    if start is None:
        label = label.replace(f", start {config.start.name}", ", from a random start")
    return RunDiagnosis(path.stem, label, found, stale)


def _start(config: Config, data: Dataset, generator: torch.Generator, state: dict[str, Any]) -> Start | None:
    """The run's, with what it remembers; None, a random one, where there is none or it is about training images."""
    if not config.declared_method.starts or STARTS[config.start.name].of_images:
        return None
    start = start_of(config, data, generator, data.test.images.device, Processes()).make()
    if (remembered := state["processes"][0]["adversary"]) is not None:
        start.load_state_dict(remembered)
    return start


def _perturbation(
    config: Config, model: nn.Module, data: Dataset, ball: Ball, generator: torch.Generator, start: Start | None
) -> tuple[Tensor, Tensor | None]:
    """What the configuration's method finds for the images, and what the network saw in its last pass."""
    x, y = to_float(data.test.images), data.test.labels
    declared = config.declared_method
    if not declared.adversarial:
        return torch.zeros_like(x), None
    with model_in("eval", model):
        first_layer, _ = choose_first_layer(config, model, data)
        objective, options = make_objective(config), config.method.options
        adversary: Any = METHODS[config.method.name].build(
            Ingredients(model, first_layer, ball, objective, options, generator, start)
        )
        if not hasattr(adversary, "eta"):
            raise ValueError(
                f"method: {config.method.name} does not show the perturbation that it finds (an attribute eta); name "
                "another that does, as --method pgd-20"
            )
        with _last_input(model) as seen:
            for _ in range(adversary.replays):
                adversary.accumulate(x, y)
    model.zero_grad()
    return adversary.eta[: len(x)].detach(), seen[-1]


@contextmanager
def _last_input(model: nn.Module) -> Iterator[list[Tensor]]:
    """The images of the network's passes in the block; the last one's only are kept."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
        seen[:] = [args[0].detach().clone()]

    handle = model.register_forward_pre_hook(keep, prepend=True)
    try:
        yield seen
    finally:
        handle.remove()


def _is_inside(ball: Ball, x: Tensor, eta: Tensor) -> bool:
    """False for N-FGSM, whose perturbations are wider than the ball that the inequality is about."""
    return bool(((ball.feasible_set(x).project(eta) - eta).abs() <= 1e-6).all())


def named_checkpoints(paths: Sequence[Path]) -> dict[str, Path]:
    """Checkpoints, run folders and folders of epochs as files by short names.

    Raises:
        CheckpointError: a folder that holds none. ValueError: a file twice.
    """
    files = [file for path in paths for file in checkpoint_files(path)]
    if len({file.resolve() for file in files}) < len(files):
        raise ValueError(f"checkpoints to diagnose must differ, got {', '.join(map(str, files))}")
    return dict(zip(short_names(files), files, strict=True))


def epochs_table(found: Sequence[RunDiagnosis]) -> str:
    """A line a checkpoint: loss, largest residuals, the adversary's gap, the gradient of all H_t, the drift of p_1."""
    columns = "checkpoint|loss|state (3)|co-state (4)|gap (5)|reached %|weights (7)|SGD|p₁ stale"
    return format_table(columns.split("|"), [(one.name, *_cells(one)) for one in found])


def _cells(one: RunDiagnosis) -> Iterator[str]:
    gap = one.found.adversary
    reached = None if gap is None or gap.reached is None else 100 * gap.reached
    yield f"{one.found.loss:.3f}"
    yield from (_figure(one.found.worst(name)) for name in ("state", "costate"))
    yield _figure(None if gap is None else gap.gap)
    yield "-" if reached is None else f"{reached:.1f}"
    yield _figure(one.found.ascent)
    yield _figure(one.found.worst("sgd"))
    yield "-" if one.stale is None else _figure(one.stale.drift)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
