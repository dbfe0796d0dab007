# SPDX-License-Identifier: MIT
"""What is measured: networks of runs or of others, and their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..data import Dataset, ImageSet, draw_part, load_dataset
from ..models import build_model, load_weights
from .checkpoint import LAST, CheckpointError, load_checkpoint, measured_weights
from .config import TrainConfig
from .device import open_device
from .networks import make_model
from .prepare_data import prepare_data

_EPOCHS = "epochs"


@dataclass(frozen=True)
class Subject:
    """A network in evaluation's hands, its images on the same device, and what it was trained for.

    name: for titles; dataset: of the images; eps, norm: the training's, eps None where it is not known; own: whether a
    run of ours trained it, so that its normalisation is known to be right.
    """

    name: str
    dataset: str
    model: nn.Module
    images: ImageSet
    eps: float | None
    norm: str
    own: bool


def open_run(path: Path, *, data_dir: str | None = None, device: str = "cpu", limit: int | None = None) -> Subject:
    """The network of a checkpoint or a run folder, and ``limit`` test images (`draw_part`; None: as many as its run).

    Raises:
        ValueError: a checkpoint that cannot be read, data files that are missing, arguments out of range.
    """
    state = load_checkpoint(path, device="cpu")
    config: TrainConfig = state["config"]
    place = open_device(device)
    config = replace(
        config, data_dir=data_dir or config.data_dir, limit_eval=config.limit_eval if limit is None else limit
    )
    data = prepare_data(config)
    model = make_model(config, data)
    model.load_state_dict(measured_weights(state))
    name = f"{config.model} on {config.dataset}"
    return Subject(name, config.dataset, model.to(place), data.test.to(place), config.eps, config.norm, own=True)


def open_weights(
    path: Path, *, model: str, dataset: str, data_dir: str | None = None, device: str = "cpu", limit: int | None = None,
    activation: str = "relu", mean: Sequence[float] | None = None, std: Sequence[float] | None = None, prefix: str = "",
    ignore_keys: Sequence[str] = (),
) -> Subject:  # fmt: skip
    """A network whose weights somebody else trained (`load_weights`), and ``limit`` test images (`draw_part`).

    Raises:
        ValueError: an unknown name, weights that do not fit, data files that are missing, arguments out of range.
    """
    place = open_device(device)
    images = load_dataset(dataset, data_dir).test
    images = images if limit is None else draw_part(images, limit)
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != images.channels:
            raise ValueError(f"{name}: got {len(values)} values, expected {images.channels}, one a channel")
    network = build_model(
        model, in_channels=images.channels, num_classes=images.num_classes, image_size=images.image_size,
        activation=activation, mean=mean, std=std,
    )  # fmt: skip
    load_weights(network, path, prefix=prefix, ignore=ignore_keys)
    return Subject(f"{model} on {dataset}", dataset, network.to(place), images.to(place), None, "linf", own=False)


def open_networks(
    paths: Sequence[Path], images: ImageSet, dataset: str, *, device: str = "cpu"
) -> dict[str, nn.Module]:
    """The networks of several checkpoints for ``images`` of ``dataset``, by short names, all on ``device``.

    Each path stands for what `checkpoint_files` finds.

    Raises:
        ValueError: a file given twice, a checkpoint that cannot be read, or a run on another data set.
    """
    place = open_device(device)
    files = [file for path in paths for file in checkpoint_files(path)]
    if len({file.resolve() for file in files}) < len(files):
        raise ValueError(f"networks to compare must differ, got {', '.join(map(str, files))}")
    models: dict[str, nn.Module] = {}
    for name, file in zip(short_names(files), files, strict=True):
        state = load_checkpoint(file, device="cpu")
        config: TrainConfig = state["config"]
        if config.dataset != dataset:
            raise ValueError(f"{file}: of a run on {config.dataset}, expected {dataset}")
        model = make_model(config, Dataset(dataset, images, images))
        model.load_state_dict(measured_weights(state))
        models[name] = model.to(place)
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
    if folders[-1] == _EPOCHS and file.stem.isdigit():
        return [*folders[:-1], f"epoch {int(file.stem)}"]
    return folders if name == LAST else [*folders, file.stem]
