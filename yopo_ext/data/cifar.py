# SPDX-License-Identifier: MIT
"""CIFAR-10's binary version (Krizhevsky 2009).

A file is a sequence of 3073-byte records: one byte of label, then 1024 red, 1024 green and 1024 blue values, row
by row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .errors import DataFileError
from .image_set import ImageSet

NUM_CLASSES = 10
TRAIN_FILES = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
TEST_FILE = "test_batch.bin"
IMAGES_PER_TRAIN_FILE = 10_000
_RECORD = 1 + 3 * 32 * 32


def read_cifar10_file(path: Path, *, count: int | None = None) -> ImageSet:
    """One binary file: images (N, 3, 32, 32).

    ``count`` is how many records it must have; None takes any whole number of them above zero. Raises `DataFileError`
    for a missing file, a partial record, another count, or a label above 9.
    """
    if not path.is_file():
        raise DataFileError(path, "no such file", "a binary CIFAR-10 batch")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    wanted = (
        "a whole number of 3073-byte records above zero" if count is None else f"{count * _RECORD} ({count} records)"
    )
    records, rest = divmod(len(content), _RECORD)
    if rest or records == 0 or records != (count or records):
        raise DataFileError(path, f"{len(content)} bytes ({records} records and {rest} bytes)", wanted)
    table = content.reshape(records, _RECORD)
    labels = table[:, 0]
    if labels.max() >= NUM_CLASSES:
        where = int(np.argmax(labels >= NUM_CLASSES))
        raise DataFileError(path, f"label {labels[where]} in record {where}", f"0..{NUM_CLASSES - 1}")
    images = torch.from_numpy(table[:, 1:].reshape(records, 3, 32, 32).copy())
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), NUM_CLASSES)


def read_cifar10_train(folder: Path) -> ImageSet:
    """The five training files, 10,000 images each, in order."""
    parts = [read_cifar10_file(folder / name, count=IMAGES_PER_TRAIN_FILE) for name in TRAIN_FILES]
    images = torch.cat([part.images for part in parts])
    return ImageSet(images, torch.cat([part.labels for part in parts]), NUM_CLASSES)


def read_cifar10_test(folder: Path) -> ImageSet:
    """The test file. The official one has 10,000 images; an excerpt of it, in whole records, is taken as well."""
    return read_cifar10_file(folder / TEST_FILE)
