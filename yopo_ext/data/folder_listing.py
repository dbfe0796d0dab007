# SPDX-License-Identifier: MIT
"""What lies in a folder of class folders."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .errors import DataFileError


@dataclass(frozen=True)
class Listing:
    """The files of one part of a set, by class and then by name.

    Attributes:
        folder: that holds a folder for each class.
        classes: their names, in the order of their labels.
        files: paths inside the folder.
        labels: (N,) int64, of the files.
        odd: what lies there and has no place in a set, with why: paths inside the folder.
        fingerprint: of the files' names, sizes and times of change.
    """

    folder: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: Tensor
    odd: tuple[tuple[str, str], ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.files)


def class_name(folder: str) -> str:
    """What a folder's class is called: systems write the same letters in composed or in decomposed form."""
    return unicodedata.normalize("NFC", folder)


def class_folders(folder: Path) -> dict[str, str]:
    """The class folders by class: sorted by class.

    Raises:
        DataFileError: there is no such folder, none in it, or two of one name.
    """
    if not folder.is_dir():
        raise DataFileError(folder, "no such folder", "a folder that holds a folder of images for each class")
    found: dict[str, str] = {}
    for entry in _entries(folder):
        if entry.is_dir():
            name = class_name(entry.name)
            if name in found:
                raise DataFileError(folder, f"two folders named {name!r} in different Unicode forms", "one a class")
            found[name] = entry.name
    if not found:
        raise DataFileError(folder, "no folders in it", "a folder of images for each class")
    return dict(sorted(found.items()))


def list_images(folder: Path, classes: Sequence[str] | None = None) -> Listing:
    """All files of the class folders, at any depth, but for those whose names begin with a dot.

    Links are followed. ``classes`` gives the labels their order, and folders of other names are left out; None: all.

    Raises:
        DataFileError: as `class_folders`, or no file in any of the folders.
    """
    folders = class_folders(folder)
    classes = tuple(folders) if classes is None else tuple(classes)
    odd = [(entry.name, "lies in no class folder") for entry in _entries(folder) if not entry.is_dir()]
    files: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(classes):
        if name not in folders:
            odd.append((name, "no such class folder"))
            continue
        before = len(files)
        for path in _files_below(folder / folders[name], folder, set()):
            try:
                status = os.stat(folder / path)
            except OSError as error:
                reason = "a link to nothing" if os.path.islink(folder / path) else error.strerror or str(error)
                odd.append((path, reason))
                continue
            files.append(path)
            labels.append(label)
            digest.update(os.fsencode(path) + f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        if len(files) == before:
            odd.append((name, "a class folder without files"))
    if not files:
        raise DataFileError(folder, "no files in its class folders", "images")
    return Listing(
        folder, classes, tuple(files), torch.tensor(labels), tuple(odd), digest.hexdigest()[:16],
    )  # fmt: skip


def _files_below(folder: Path, root: Path, above: set[str]) -> Iterator[str]:
    """Paths inside ``root``; ``above`` are the folders on the way here, by their real paths: links may make circles."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files_below(Path(entry.path), root, above | {real})
        else:
            yield os.path.relpath(entry.path, root)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is there, sorted by name, without what is hidden."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
