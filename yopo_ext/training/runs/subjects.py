# SPDX-License-Identifier: MIT
"""What is measured: networks of runs or of others, and their images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...data import DATASETS, Dataset, ImageSet, draw_part, load_dataset, load_test_images
from ...models import attach_scores, build_model, load_weights
from ...models.stored_scores import stored_scores
from ...objectives.mmc import MMC
from ...objectives.mmc import OBJECTIVE as MMC_OBJECTIVE
from ...objectives.objective import Objective
from ...options import from_plain, options_of
from ..config import change_config
from ..files import EPOCHS, LAST, CheckpointError
from ..host import open_device
from .objective import make_objective
from .prepare_data import prepare_data, prepare_test_images
from .trained import open_checkpoint, trained_network


@dataclass(frozen=True)
class Subject:
    """A network in evaluation's hands, its images on the same device, and what it was trained for.

    name: for titles; dataset: of the images; eps, norm: the training's, eps None where it is not known; own: whether a
    run of ours trained it, so that its normalisation is known to be right; steps, alpha: of the PGD that the run
    measured itself with, None where it is not known, alpha also where it follows from eps and steps; objective: what
    reads the network's outputs, None: logits; training_images: reads those it was trained on, None where they are not
    known; losses: that the run measured itself by.
    """

    name: str
    dataset: str
    model: nn.Module
    images: ImageSet
    eps: float | None
    norm: str
    own: bool
    steps: int | None = None
    alpha: float | None = None
    objective: Objective | None = None
    training_images: Callable[[], ImageSet] | None = None
    losses: tuple[str, ...] = ("ce",)


def open_run(
    path: Path,
    *,
    data_dir: str | None = None,
    device: str = "cpu",
    limit: int | None = None,
    source: Mapping[str, Any] | None = None,
    last_weights: bool = False,
) -> Subject:
    """The network of a checkpoint or a run folder, and ``limit`` test images (`draw_part`; None: as many as its run).

    ``source``: options of the data set's own, by name, of those that may change from host to host. ``last_weights``:
    those in training, where the run measured an average of them.

    Raises:
        ValueError: a checkpoint that cannot be read, data files that are missing, arguments out of range.
    """
    config, state = open_checkpoint(path)
    place = open_device(device)
    options = config.data
    of_hosts = [name for name, one in options_of(type(config.source)).items() if one.host]
    for name in source or {}:
        if name not in of_hosts:
            raise ValueError(f"{name}: a run on {options.dataset} has its own; it goes with --weights")
    config = change_config(
        config,
        data_dir=data_dir or options.data_dir,
        limit_eval=options.limit_eval if limit is None else limit,
        **(source or {}),
    )
    images = prepare_test_images(config)
    model = trained_network(config, Dataset(options.dataset, images, images), state, last_weights=last_weights)
    name, ball, final = f"{config.model.model} on {options.dataset}", config.ball, config.measuring
    return Subject(
        name, options.dataset, model.to(place), images.to(place), ball.eps, ball.norm, own=True,
        steps=final.eval_steps, alpha=final.eval_alpha, objective=make_objective(config),
        training_images=lambda: prepare_data(config).train,
        losses=config.declared_objective.losses,
    )  # fmt: skip


def open_weights(
    path: Path, *, model: str, dataset: str, data_dir: str | None = None, device: str = "cpu", limit: int | None = None,
    activation: str = "relu", mean: Sequence[float] | None = None, std: Sequence[float] | None = None, prefix: str = "",
    ignore_keys: Sequence[str] = (), source: Mapping[str, Any] | None = None,
) -> Subject:  # fmt: skip
    """A network whose weights somebody else trained, and test images.

    Centres of classes among the weights (`CentreScores`) say what the network ends in; its own loss is then the
    distance to them.

    Args:
        path: of the weights.
        model, dataset: names of `MODELS` and `DATASETS`.
        data_dir: where the data set's files are; None for one that needs none.
        device: as "cpu" or "cuda".
        limit: test images, drawn as `draw_part` does; None: all.
        activation: of the network, a name of `ACTIVATIONS`.
        mean, std: one number a channel, by which the network normalises images in [0, 1]; None: it does not.
        prefix, ignore_keys: as for `load_weights`.
        source: options of the data set's own, by name.

    Raises:
        ValueError: an unknown name, weights that do not fit, data files that are missing, arguments out of range.
    """
    place = open_device(device)
    settings = from_plain(DATASETS[dataset].options, dict(source or {}))
    images = load_test_images(dataset, data_dir, settings)
    images = images if limit is None else draw_part(images, limit)
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != images.channels:
            raise ValueError(f"{name}: got {len(values)} values, expected {images.channels}, one a channel")
    scores = stored_scores(path, images.num_classes, prefix=prefix)
    network = build_model(
        model, in_channels=images.channels, image_size=tuple(images.images.shape[2:]),
        num_classes=images.num_classes if scores is None else scores.centres.shape[1],
        activation=activation, mean=mean, std=std,
    )  # fmt: skip
    if scores is not None:
        attach_scores(network, scores)
    load_weights(network, path, prefix=prefix, ignore=ignore_keys)
    found = Subject(
        f"{model} on {dataset}", dataset, network.to(place), images.to(place), None, "linf", own=False,
        training_images=lambda: load_dataset(dataset, data_dir, settings).train,
    )  # fmt: skip
    return found if scores is None else replace(found, objective=MMC(), losses=MMC_OBJECTIVE.losses)


def open_networks(
    paths: Sequence[Path], images: ImageSet, dataset: str, *, device: str = "cpu", last_weights: bool = False
) -> dict[str, nn.Module]:
    """The networks of several checkpoints for ``images`` of ``dataset``, by short names, all on ``device``.

    Each path stands for what `checkpoint_files` finds; ``last_weights`` as of `open_run`.

    Raises:
        ValueError: a file given twice, a checkpoint that cannot be read, or a run on another data set.
    """
    place = open_device(device)
    files = [file for path in paths for file in checkpoint_files(path)]
    if len({file.resolve() for file in files}) < len(files):
        raise ValueError(f"networks to compare must differ, got {', '.join(map(str, files))}")
    models: dict[str, nn.Module] = {}
    for name, file in zip(short_names(files), files, strict=True):
        config, state = open_checkpoint(file)
        if config.data.dataset != dataset:
            raise ValueError(f"{file}: of a run on {config.data.dataset}, expected {dataset}")
        if (classes := config.get("classes")) != images.class_names:
            raise ValueError(f"{file}: of a run on classes {classes}, expected {images.class_names}")
        network = trained_network(config, Dataset(dataset, images, images), state, last_weights=last_weights)
        models[name] = network.to(place)
    return models


def checkpoint_files(path: Path) -> list[Path]:
    """A checkpoint itself, a run folder's last one, or all of a folder of a run's epochs, in order.

    Raises:
        CheckpointError: a folder that holds neither.
    """
    if path.is_dir() and not (path / LAST).is_file():
        epochs = sorted(file for file in path.glob("*.pt") if file.stem.isdigit())
        if not epochs:
            raise CheckpointError(f"{path}: holds neither {LAST} nor an epoch's checkpoint like 001.pt")
        return epochs
    return [path / LAST if path.is_dir() else path]


def short_names(files: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: "epoch 3" rather than "runs/a/epochs/003.pt"."""
    parts = [_readable(file) for file in files]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            break
    return names


def _readable(file: Path) -> list[str]:
    *folders, name = file.resolve().parts
    if folders[-1] == EPOCHS and file.stem.isdigit():
        return [*folders[:-1], f"epoch {int(file.stem)}"]
    return folders if name == LAST else [*folders, file.stem]
