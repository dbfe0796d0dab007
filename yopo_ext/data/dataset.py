# SPDX-License-Identifier: MIT
"""A data set, how its source declares itself, and data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..options import NoOptions
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
        read: called as read(data_dir), a folder or None; returns training and test images on the CPU. A set that has
            options gets them as a second argument.
        recipe: settings by name that suit these images, where neither a preset nor the user says otherwise.
        reads_files: whether it needs the folder.
        options: a frozen dataclass of options (`yopo_ext.options`).
        read_test: the same as `read` for test images alone, where these can be had without the others.
        settle: called as settle(options, training images); returns the options that a run keeps, with what was found.
    """

    name: str
    help: str
    read: Callable[..., tuple[ImageSet, ImageSet]]
    recipe: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reads_files: bool = True
    options: type = NoOptions
    read_test: Callable[..., ImageSet] | None = None
    settle: Callable[[Any, ImageSet], Any] | None = None


DATASETS: Registry[Source] = Registry("dataset", "yopo_ext.data", Source, "yopo_ext.datasets")


def load_dataset(name: str, data_dir: Path | str | None = None, options: Any = None) -> Dataset:
    """A data set by name, on the CPU.

    ``data_dir`` holds the files (``digits`` needs none): IDX files for MNIST and Fashion-MNIST, gzipped or plain, and
    the binary or the Python files for CIFAR-10 and CIFAR-100 (fine labels), each either in its usual folder or directly
    there; for ``folder`` a folder of images for each class, below ``train`` and ``val``. ``options`` are the set's own
    (`Source.options`), None: their defaults.

    Raises ``ValueError`` for an unknown name or a missing ``data_dir``, `DataFileError` for missing or malformed files.
    """
    source = DATASETS[name]
    train, test = source.read(*_arguments(source, data_dir, options))
    return Dataset(name, train, test)


def load_test_images(name: str, data_dir: Path | str | None = None, options: Any = None) -> ImageSet:
    """The test images of `load_dataset`; those of training are not read where the set can do without."""
    source = DATASETS[name]
    if source.read_test is None:
        return load_dataset(name, data_dir, options).test
    return source.read_test(*_arguments(source, data_dir, options))


def _arguments(source: Source, data_dir: Path | str | None, options: Any) -> tuple[Any, ...]:
    if source.reads_files and data_dir is None:
        raise ValueError(f"dataset {source.name!r} is read from files: say where they are with --data-dir (data_dir=)")
    folder = None if data_dir is None else Path(data_dir)
    return (folder,) if source.options is NoOptions else (folder, source.options() if options is None else options)
