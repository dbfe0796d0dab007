# SPDX-License-Identifier: MIT
"""The standard data sets by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from .cifar import read_cifar10_test, read_cifar10_train, read_cifar100_test, read_cifar100_train
from .digits import read_digits
from .errors import DataFileError
from .idx import read_idx_images
from .image_set import ImageSet

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")

# 360 of 1,797 digits are held out, by a permutation that no run's seed changes.
DIGITS_TEST = 360
DIGITS_SPLIT_SEED = 0

# Where each set's files may lie below --data-dir: the usual nested layout, the set's own folder, or flat.
_FOLDERS = {
    "mnist": ("MNIST/raw", "mnist", "."),
    "fashion-mnist": ("FashionMNIST/raw", "fashion-mnist", "."),
    "cifar10": ("cifar-10-batches-bin", "."),
    "cifar100": ("cifar-100-binary", "."),
}
_MARKER = {
    "mnist": "train-images-idx3-ubyte",
    "fashion-mnist": "train-images-idx3-ubyte",
    "cifar10": "data_batch_1.bin",
    "cifar100": "train.bin",
}


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


def load_dataset(name: str, data_dir: Path | str | None = None) -> Dataset:
    """A standard data set, on the CPU.

    ``data_dir`` holds the files (``digits`` needs none): IDX files for MNIST and Fashion-MNIST, gzipped or plain, and
    the binary files for CIFAR-10 and CIFAR-100 (fine labels), each either in its usual folder or directly there.

    Raises ``ValueError`` for an unknown name or a missing ``data_dir``, `DataFileError` for missing or malformed files.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}; known: {', '.join(DATASETS)}")
    if name == "digits":
        return _split_digits(read_digits())
    if data_dir is None:
        raise ValueError(f"dataset {name!r} is read from files: say where they are with --data-dir (data_dir=)")
    folder = find_folder(name, Path(data_dir))
    if name == "cifar10":
        return Dataset(name, read_cifar10_train(folder), read_cifar10_test(folder))
    if name == "cifar100":
        return Dataset(name, read_cifar100_train(folder), read_cifar100_test(folder))
    return Dataset(name, read_idx_images(folder, "train"), read_idx_images(folder, "t10k"))


def _split_digits(images: ImageSet) -> Dataset:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(DIGITS_SPLIT_SEED))
    return Dataset("digits", images.select(order[:-DIGITS_TEST]), images.select(order[-DIGITS_TEST:]))


def find_folder(name: str, data_dir: Path) -> Path:
    """The folder below ``data_dir`` that holds the files of a set. Raises `DataFileError` where none does."""
    if not data_dir.is_dir():
        raise DataFileError(data_dir, "no such folder", f"the folder with the files of {name}")
    marker = _MARKER[name]
    for relative in _FOLDERS[name]:
        folder = data_dir / relative
        if (folder / marker).is_file() or (folder / f"{marker}.gz").is_file():
            return folder
    places = " or ".join(str(Path(relative) / marker) for relative in _FOLDERS[name])
    raise DataFileError(data_dir, f"no {marker}", places)
