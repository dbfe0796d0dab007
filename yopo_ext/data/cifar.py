# SPDX-License-Identifier: MIT
"""The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009).

A file is a sequence of records: one byte of label (CIFAR-100: two, the coarse one of 20 superclasses and the fine one
of 100 classes), then 1024 red, 1024 green and 1024 blue values, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .errors import DataFileError
from .image_set import ImageSet

TRAIN_FILES = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
TEST_FILE = "test_batch.bin"
IMAGES_PER_TRAIN_FILE = 10_000
CIFAR100_TRAIN_FILE = "train.bin"
CIFAR100_TEST_FILE = "test.bin"
CIFAR100_TRAIN_IMAGES = 50_000
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Format:
    """Records of ``label_bytes`` labels, the last of them the class, and an image."""

    name: str
    label_bytes: int
    num_classes: int

    @property
    def record(self) -> int:
        return self.label_bytes + _PIXELS


_CIFAR10 = _Format("CIFAR-10", 1, 10)
_CIFAR100 = _Format("CIFAR-100", 2, 100)


def read_cifar10_train(folder: Path) -> ImageSet:
    """The five training files, 10,000 images each, in order; errors as `read_cifar10_file`."""
    parts = [read_cifar10_file(folder / name, count=IMAGES_PER_TRAIN_FILE) for name in TRAIN_FILES]
    images = torch.cat([part.images for part in parts])
    return ImageSet(images, torch.cat([part.labels for part in parts]), _CIFAR10.num_classes)


def read_cifar10_test(folder: Path) -> ImageSet:
    """The test file. The official one has 10,000 images; an excerpt of it, in whole records, is taken as well."""
    return read_cifar10_file(folder / TEST_FILE)


def read_cifar10_file(path: Path, *, count: int | None = None) -> ImageSet:
    """One binary file: images (N, 3, 32, 32).

    ``count`` is how many records it must have; None takes any whole number of them above zero. Raises `DataFileError`
    for a missing file, a partial record, another count, or a label above 9.
    """
    return _read_file(path, _CIFAR10, count)


def read_cifar100_train(folder: Path) -> ImageSet:
    """The training file, 50,000 images (N, 3, 32, 32) with their fine labels.

    Raises `DataFileError` for a missing file, a partial record, another count, or a fine label above 99.
    """
    return _read_file(folder / CIFAR100_TRAIN_FILE, _CIFAR100, CIFAR100_TRAIN_IMAGES)


def read_cifar100_test(folder: Path) -> ImageSet:
    """The test file, as `read_cifar100_train`; officially 10,000 images, an excerpt in whole records is taken too."""
    return _read_file(folder / CIFAR100_TEST_FILE, _CIFAR100, None)


def _read_file(path: Path, kind: _Format, count: int | None) -> ImageSet:
    if not path.is_file():
        raise DataFileError(path, "no such file", f"a binary {kind.name} batch")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    records, rest = divmod(len(content), kind.record)
    if rest or records == 0 or records != (count or records):
        wanted = (
            f"a whole number of {kind.record}-byte records above zero"
            if count is None
            else f"{count * kind.record} ({count} records)"
        )
        raise DataFileError(path, f"{len(content)} bytes ({records} records and {rest} bytes)", wanted)
    table = content.reshape(records, kind.record)
    labels = table[:, kind.label_bytes - 1]
    if labels.max() >= kind.num_classes:
        where = int(np.argmax(labels >= kind.num_classes))
        raise DataFileError(path, f"label {labels[where]} in record {where}", f"0..{kind.num_classes - 1}")
    images = torch.from_numpy(table[:, kind.label_bytes :].reshape(records, 3, 32, 32).copy())
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), kind.num_classes)
