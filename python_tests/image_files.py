# SPDX-License-Identifier: MIT
"""Writes IDX files and CIFAR's binary files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

CIFAR_RECORD = 3073
CIFAR100_RECORD = 3074


def idx_bytes(values: np.ndarray) -> bytes:
    """The IDX file of a uint8 array."""
    header = struct.pack(f">I{values.ndim}I", 0x0800 | values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def images_and_labels(count: int, *, size: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 images (count, size, size) and labels that run through 0..9."""
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def write_idx_set(folder: Path, prefix: str, count: int, *, gz: bool = False, seed: int = 0) -> None:
    """Both files of ``prefix`` (train or t10k)."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = images_and_labels(count, seed=seed)
    for name, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
        content = idx_bytes(values)
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def cifar_records(count: int, *, seed: int = 0) -> np.ndarray:
    """(count, 3073) uint8: random images, labels that run through 0..9."""
    records = np.random.default_rng(seed).integers(0, 256, (count, CIFAR_RECORD), dtype=np.uint8)
    records[:, 0] = np.arange(count) % 10
    return records


def write_cifar10(folder: Path, *, train: int, test: int) -> None:
    """The six binary files, ``train`` images in each of the five training files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(1, 6):
        cifar_records(train, seed=index).tofile(folder / f"data_batch_{index}.bin")
    cifar_records(test, seed=6).tofile(folder / "test_batch.bin")


def cifar100_records(count: int, *, seed: int = 0) -> np.ndarray:
    """(count, 3074) uint8: random images, coarse labels that run through 0..19, fine ones that run down from 99."""
    records = np.random.default_rng(seed).integers(0, 256, (count, CIFAR100_RECORD), dtype=np.uint8)
    records[:, 0], records[:, 1] = np.arange(count) % 20, 99 - np.arange(count) % 100
    return records


def write_cifar100(folder: Path, *, train: int, test: int) -> None:
    """The two binary files."""
    folder.mkdir(parents=True, exist_ok=True)
    cifar100_records(train, seed=1).tofile(folder / "train.bin")
    cifar100_records(test, seed=2).tofile(folder / "test.bin")
