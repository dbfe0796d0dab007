# SPDX-License-Identifier: MIT
"""Writes IDX files, CIFAR in its binary and in its Python version, and folders of images."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

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


def pickled_dict(records: np.ndarray, labels: dict[str, int], *, protocol: int | None, fortran: bool = False) -> bytes:
    """A file of CIFAR's Python version: the records' pixels, and for each key the label in that byte of a record.

    protocol: None for the bytes that Python 2 wrote; else Python 3's pickle of the same.
    """
    pixels = np.ascontiguousarray(records[:, len(labels) :])
    values = {key: [int(label) for label in records[:, byte]] for key, byte in labels.items()}
    if protocol is None:
        return _python2_pickle(pixels, values)
    content = {key.encode(): value for key, value in values.items()}
    content |= {b"data": np.asfortranarray(pixels) if fortran else pixels, b"batch_label": b"batch 1 of 5"}
    return pickle.dumps(content | {b"filenames": [b"a.png"] * len(pixels)}, protocol=protocol)


def _python2_pickle(pixels: np.ndarray, values: dict[str, list[int]]) -> bytes:
    """Protocol 2 as Python 2 wrote it: its strings are bytes, the array's content among them."""

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(text)) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    shape = number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + string(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + string(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = empty + b"(" + number(1) + shape + dtype + b"\x89" + string(pixels.tobytes()) + b"tb"
    entries = string(b"batch_label") + string(b"batch 1 of 5") + string(b"data") + array
    for key, labels in values.items():
        entries += string(key.encode()) + b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + entries + b"u."


def write_pickled_cifar10(folder: Path, *, train: int, test: int, **options: object) -> None:
    """The six files of the Python version, with the images and labels of `write_cifar10`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate([f"data_batch_{index}" for index in range(1, 6)] + ["test_batch"], 1):
        records = cifar_records(test if name == "test_batch" else train, seed=index)
        (folder / name).write_bytes(pickled_dict(records, {"labels": 0}, **options))


def write_pickled_cifar100(folder: Path, *, train: int, test: int, **options: object) -> None:
    """The two files of the Python version, with the images and labels of `write_cifar100`."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = {"coarse_labels": 0, "fine_labels": 1}
    for index, (name, count) in enumerate({"train": train, "test": test}.items(), 1):
        (folder / name).write_bytes(pickled_dict(cifar100_records(count, seed=index), labels, **options))


def write_image(path: Path, *, seed: int = 0, size: tuple[int, int] = (12, 10), **options: object) -> None:
    """A random picture of that width and height, in the format of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def write_image_folder(root: Path, *, train: int = 6, test: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """``train/CLASS/00.png`` and so on, and ``val``, so many images of each class; returns ``root``."""
    for part, count in (("train", train), ("val", test)):
        for label, name in enumerate(classes):
            for number in range(count):
                write_image(root / part / name / f"{number:02}.png", seed=1000 * label + number + 100 * (part == "val"))
    return root
