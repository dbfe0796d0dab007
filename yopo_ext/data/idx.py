# SPDX-License-Identifier: MIT
"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

Layout (LeCun, Cortes, Burges): big-endian; two zero bytes, a type code (8: unsigned byte), the number of
dimensions, each dimension as a 32-bit integer, then the values, the last dimension varying fastest.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from .errors import DataFileError
from .image_set import ImageSet

NUM_CLASSES = 10
_UNSIGNED_BYTE = 8


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file with that many dimensions; gzip is recognised by the name's ``.gz``.

    Raises `DataFileError` for a wrong magic number, a truncated file, or bytes after the last value.
    """
    content = _read_bytes(path)
    if len(content) < 4:
        raise DataFileError(path, f"{len(content)} bytes", "an IDX header of at least 4 bytes (truncated file?)")
    magic = int.from_bytes(content[:4], "big")
    wanted = _UNSIGNED_BYTE << 8 | dimensions
    if magic != wanted:
        raise DataFileError(path, f"magic number 0x{magic:08x}", f"0x{wanted:08x} ({dimensions}-d unsigned bytes)")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataFileError(path, f"{len(content)} bytes", f"an IDX header of {header} bytes (truncated file?)")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) != header + math.prod(shape):
        raise DataFileError(
            path,
            f"{len(content) - header} bytes of data",
            f"{math.prod(shape)} for the shape {'x'.join(map(str, shape))} in its header",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def read_idx_images(folder: Path, prefix: str) -> ImageSet:
    """The images and labels ``<prefix>-images-idx3-ubyte[.gz]`` and ``<prefix>-labels-idx1-ubyte[.gz]`` of a folder.

    Returns images (N, 1, H, W). Raises `DataFileError` for missing or malformed files, different counts, labels
    above 9.
    """
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) == 0:
        raise DataFileError(images_path, "0 images", "at least one")
    if len(images) != len(labels):
        raise DataFileError(labels_path, f"{len(labels)} labels", f"{len(images)}, as many as {images_path.name} has")
    if labels.max() >= NUM_CLASSES:
        where = int(np.argmax(labels >= NUM_CLASSES))
        raise DataFileError(labels_path, f"label {labels[where]} at index {where}", f"0..{NUM_CLASSES - 1}")
    return ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), NUM_CLASSES)


def _read_bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFileError(path, f"{len(raw)} bytes ({error})", "a complete gzip file") from error


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataFileError(folder / name, "no such file, plain or .gz", f"{name} in this folder")
