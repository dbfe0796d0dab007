# SPDX-License-Identifier: MIT
"""A data set, how its source declares itself, and data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..registry import Registry
from .image_set import ImageSet


@dataclass(frozen=True)
class Dataset:
    """A named data set, divided into training and test images; ``validation`` are training images held out."""

    name: str
    train: ImageSet
    test: ImageSet
    validation: ImageSet | None = None

    def to(self, device: torch.device | str) -> Dataset:
        """The same images on ``device``."""
        validation = None if self.validation is None else self.validation.to(device)
        return Dataset(self.name, self.train.to(device), self.test.to(device), validation)


@dataclass(frozen=True)
class Source:
    """A data set that `yopo train --dataset NAME` reads.

    Attributes:
        name: as on the command line.
        help: one line.
        read: called as read(data_dir), a folder or None; returns training and test images on the CPU.
        recipe: settings by name that suit these images, where neither a preset nor the user says otherwise.
        reads_files: whether it needs the folder.
    """

    name: str
    help: str
    read: Callable[[Path | None], tuple[ImageSet, ImageSet]]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    reads_files: bool = True


DATASETS: Registry[Source] = Registry("dataset", "yopo_ext.data", Source, "yopo_ext.datasets")


def load_dataset(name: str, data_dir: Path | str | None = None) -> Dataset:
    """A data set by name, on the CPU.

    ``data_dir`` holds the files (``digits`` needs none): IDX files for MNIST and Fashion-MNIST, gzipped or plain, and
    the binary or the Python files for CIFAR-10 and CIFAR-100 (fine labels), each either in its usual folder or directly
    there.

    Raises ``ValueError`` for an unknown name or a missing ``data_dir``, `DataFileError` for missing or malformed files.
    """
    source = DATASETS[name]
    if source.reads_files and data_dir is None:
        raise ValueError(f"dataset {name!r} is read from files: say where they are with --data-dir (data_dir=)")
    train, test = source.read(None if data_dir is None else Path(data_dir))
    return Dataset(name, train, test)
