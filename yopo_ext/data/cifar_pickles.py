# SPDX-License-Identifier: MIT
"""The Python versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009), as torchvision downloads and unpacks them.

A file is a pickled dict: ``data``, (N, 3072) uint8, red, green and blue planes row by row, and ``labels`` (CIFAR-100:
``fine_labels``), a list of N. Keys are bytes or text, after the Python that wrote them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import cifar
from .errors import DataFileError
from .image_set import ImageSet
from .plain_pickle import read_plain_pickle

TRAIN_FILES = tuple(f"data_batch_{index}" for index in range(1, 6))
TEST_FILE = "test_batch"
CIFAR100_TRAIN_FILE = "train"
CIFAR100_TEST_FILE = "test"
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


def read_pickled_cifar10_train(folder: Path) -> ImageSet:
    """The five training files, 10,000 images each, in order.

    Raises `DataFileError` for a missing file, one that is not as described above or holds anything but data, another
    count, or a label above 9.
    """
    parts = [_read_file(folder / name, "labels", 10, cifar.IMAGES_PER_TRAIN_FILE) for name in TRAIN_FILES]
    return ImageSet(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]), 10)


def read_pickled_cifar10_test(folder: Path) -> ImageSet:
    """The test file, officially of 10,000 images, or an excerpt of it; errors as `read_pickled_cifar10_train`."""
    return _read_file(folder / TEST_FILE, "labels", 10, None)


def read_pickled_cifar100_train(folder: Path) -> ImageSet:
    """The training file, 50,000 images with their fine labels; errors as `read_pickled_cifar10_train`."""
    return _read_file(folder / CIFAR100_TRAIN_FILE, "fine_labels", 100, cifar.CIFAR100_TRAIN_IMAGES)


def read_pickled_cifar100_test(folder: Path) -> ImageSet:
    """The test file, officially of 10,000 images, or an excerpt of it; errors as `read_pickled_cifar10_train`."""
    return _read_file(folder / CIFAR100_TEST_FILE, "fine_labels", 100, None)


def _read_file(path: Path, label_key: str, num_classes: int, count: int | None) -> ImageSet:
    entries = read_plain_pickle(path)
    for key in ("data", label_key):
        if key not in entries:
            raise DataFileError(path, f"a dict of {', '.join(entries) or 'nothing'}", f"data and {label_key}")
    pixels, labels = _pixels(path, entries["data"], count), _labels(path, entries[label_key], label_key, num_classes)
    if len(labels) != len(pixels):
        raise DataFileError(path, f"{len(labels)} {label_key}", f"{len(pixels)}, as many as images")
    images = torch.from_numpy(pixels.reshape(-1, 3, _SIDE, _SIDE).copy())
    return ImageSet(images, torch.from_numpy(labels), num_classes)


def _pixels(path: Path, data: Any, count: int | None) -> np.ndarray:
    is_array = isinstance(data, np.ndarray)
    rows = len(data) if is_array and data.ndim == 2 else 0
    if not is_array or data.dtype != np.uint8 or data.shape != (count or rows, _PIXELS) or rows == 0:
        found = f"data {data.shape} {data.dtype}" if is_array else f"data of type {type(data).__name__}"
        raise DataFileError(path, found, f"({count or 'N'}, {_PIXELS}) uint8")
    return data


def _labels(path: Path, labels: object, key: str, num_classes: int) -> np.ndarray:
    values = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise DataFileError(path, f"{key} of type {type(labels).__name__}", "a list of whole numbers")
    for where, value in enumerate(values):
        if not 0 <= value < num_classes:
            raise DataFileError(path, f"label {value} in record {where}", f"0..{num_classes - 1}")
    return np.array(values, np.int64)
