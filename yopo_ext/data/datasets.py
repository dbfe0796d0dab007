# SPDX-License-Identifier: MIT
"""The standard data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .cifar import read_cifar10_test, read_cifar10_train, read_cifar100_test, read_cifar100_train
from .cifar_pickles import (
    read_pickled_cifar10_test,
    read_pickled_cifar10_train,
    read_pickled_cifar100_test,
    read_pickled_cifar100_train,
)
from .digits import read_digits
from .errors import DataFileError
from .idx import read_idx_images
from .image_set import ImageSet

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")

# 360 of 1,797 digits are held out, by a permutation that no run's seed changes.
DIGITS_TEST = 360
DIGITS_SPLIT_SEED = 0


@dataclass(frozen=True)
class _Layout:
    """Where a set's files may lie below --data-dir, the file that shows that they do, and their readers.

    The folders are the usual nested one, the set's own, or none.
    """

    folders: tuple[str, ...]
    marker: str
    read_train: Callable[[Path], ImageSet]
    read_test: Callable[[Path], ImageSet]


def _idx_layout(*folders: str) -> _Layout:
    train, test = (partial(read_idx_images, prefix=prefix) for prefix in ("train", "t10k"))
    return _Layout(folders, "train-images-idx3-ubyte", train, test)


# The first that is found counts: where a set is there in two layouts, they hold the same images.
_LAYOUTS = {
    "mnist": (_idx_layout("MNIST/raw", "mnist", "."),),
    "fashion-mnist": (_idx_layout("FashionMNIST/raw", "fashion-mnist", "."),),
    "cifar10": (
        _Layout(("cifar-10-batches-bin", "."), "data_batch_1.bin", read_cifar10_train, read_cifar10_test),
        _Layout(("cifar-10-batches-py", "."), "data_batch_1", read_pickled_cifar10_train, read_pickled_cifar10_test),
    ),
    "cifar100": (
        _Layout(("cifar-100-binary", "."), "train.bin", read_cifar100_train, read_cifar100_test),
        _Layout(("cifar-100-python", "."), "train", read_pickled_cifar100_train, read_pickled_cifar100_test),
    ),
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
    the binary or the Python files for CIFAR-10 and CIFAR-100 (fine labels), each either in its usual folder or directly
    there.

    Raises ``ValueError`` for an unknown name or a missing ``data_dir``, `DataFileError` for missing or malformed files.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}; known: {', '.join(DATASETS)}")
    if name == "digits":
        return _split_digits(read_digits())
    if data_dir is None:
        raise ValueError(f"dataset {name!r} is read from files: say where they are with --data-dir (data_dir=)")
    folder, layout = _find(name, Path(data_dir))
    return Dataset(name, layout.read_train(folder), layout.read_test(folder))


def _split_digits(images: ImageSet) -> Dataset:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(DIGITS_SPLIT_SEED))
    return Dataset("digits", images.select(order[:-DIGITS_TEST]), images.select(order[-DIGITS_TEST:]))


def _find(name: str, data_dir: Path) -> tuple[Path, _Layout]:
    """The folder below ``data_dir`` that holds the files of a set. Raises `DataFileError` where none does."""
    if not data_dir.is_dir():
        raise DataFileError(data_dir, "no such folder", f"the folder with the files of {name}")
    layouts = _LAYOUTS[name]
    for layout in layouts:
        for relative in layout.folders:
            folder = data_dir / relative
            if (folder / layout.marker).is_file() or (folder / f"{layout.marker}.gz").is_file():
                return folder, layout
    places = " or ".join(str(Path(relative) / layout.marker) for layout in layouts for relative in layout.folders)
    raise DataFileError(data_dir, f"no {' or '.join(layout.marker for layout in layouts)}", places)
