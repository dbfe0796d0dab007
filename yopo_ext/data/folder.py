# SPDX-License-Identifier: MIT
"""Image folders: one folder a class, as most image data lies on disks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..options import Options, option
from .dataset import Source
from .errors import DataFileError
from .folder_listing import Listing, class_folders, class_name, list_images
from .image_set import ImageSet
from .notes import note, printable
from .older_decodings import deal_with_older
from .pixel_file import PixelFile, decoded
from .resized_crop import LEAST_SHARE
from .stored_images import StoredImageSet, StoredPixels

_TRAIN = "train"
_TESTS = ("val", "test")
_NAMED = 10


@dataclass(frozen=True)
class FolderOptions(Options):
    """How the files become images."""

    image_size: int = option(224, "pixels a side of the images that the network gets", least=1)
    resize: int | None = option(
        None, "shorter side that files are resized to (default: 8/7 of image_size, 256 for 224)", least=1
    )
    test_folder: str | None = option(None, "folder of the images to measure on (default: val or test)")
    classes: tuple[str, ...] | None = option(
        None, "class folders in the order of their labels (default: all of them, sorted)"
    )
    broken_images: str = option(
        "refuse", "files that are no images, and folders that lack some", choices=("refuse", "skip")
    )
    least_crop: float = option(LEAST_SHARE, "least share of an image that a random crop shows", above=0, most=1)
    decoded_dir: str | None = option(None, "where decoded images are kept (default: .decoded in data_dir)", host=True)
    decode_workers: int | None = option(None, "processes that decode (default: one a core)", least=0, host=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(f"resize: got {self.resize}, expected at least image_size, {self.image_size}")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: got {', '.join(self.classes)}, expected each once")

    @property
    def side(self) -> int:
        """Pixels a side of the decoded images; by default their centre is that of the whole image, the border even."""
        return self.image_size + 4 * max(1, round(self.image_size / 28)) if self.resize is None else self.resize


def read(data_dir: Path, options: FolderOptions) -> tuple[ImageSet, ImageSet]:
    """Training images below ``train``, test images below ``val`` or ``test``; the classes are the training's.

    Decoded when they are first read (`decoded`), and whenever files have changed.

    Raises:
        DataFileError: folders that are missing, hold fewer than two classes, or differ in them; with ``broken_images``
            "refuse" also for what `Listing.odd` and `PixelFile.broken` hold.
    """
    train_dir, test_dir = data_dir / _TRAIN, _test_folder(data_dir, options)
    train = list_images(train_dir, _classes(train_dir, options))
    test = list_images(test_dir, _test_classes(test_dir, train.classes, options))
    for part in (train, test):  # before the long work
        _deal_with(part, part.odd, options)
    sets = [_image_set(part, data_dir, options) for part in (train, test)]
    empty = [name for name, count in zip(train.classes, sets[0].labels.bincount(minlength=len(train.classes)).tolist(),
                                         strict=True) if count == 0]  # fmt: skip
    if empty:
        raise DataFileError(train_dir, f"no image of class {', '.join(empty)} that can be read", "some of each class")
    return sets[0], sets[1]


def read_test(data_dir: Path, options: FolderOptions) -> ImageSet:
    """The test images alone: those of training need not be there where ``classes`` are given. Raises as `read`."""
    test_dir = _test_folder(data_dir, options)
    train_dir = data_dir / _TRAIN
    classes = _classes(train_dir if options.classes is None and train_dir.is_dir() else test_dir, options)
    test = list_images(test_dir, _test_classes(test_dir, classes, options))
    _deal_with(test, test.odd, options)
    return _image_set(test, data_dir, options)


def _test_folder(data_dir: Path, options: FolderOptions) -> Path:
    if not data_dir.is_dir():
        raise DataFileError(
            data_dir, "no such folder", f"the folder with the files of folder, {_TRAIN} and {' or '.join(_TESTS)}"
        )
    if options.test_folder is not None:
        return data_dir / options.test_folder
    found = [name for name in _TESTS if (data_dir / name).is_dir()]
    if len(found) != 1:
        what = f"both {' and '.join(found)}" if found else f"neither {' nor '.join(_TESTS)}"
        raise DataFileError(data_dir, what, "one of them, or --test-folder NAME (test_folder=)")
    return data_dir / found[0]


def _classes(folder: Path, options: FolderOptions) -> tuple[str, ...]:
    found = class_folders(folder)
    classes = tuple(found) if options.classes is None else tuple(map(class_name, options.classes))
    if folder.name == _TRAIN and (missing := [name for name in classes if name not in found]):
        raise DataFileError(folder, f"no class folder {_few(missing)}", f"classes of these: {_few(list(found))}")
    if len(classes) < 2:
        raise DataFileError(folder, f"{len(classes)} class folder, {', '.join(classes)}", "two classes at least")
    return classes


def _test_classes(folder: Path, classes: tuple[str, ...], options: FolderOptions) -> tuple[str, ...]:
    """The same; unless they were chosen, the folder must not hold others."""
    unknown = [name for name in class_folders(folder) if name not in classes]
    if unknown and options.classes is None:
        raise DataFileError(folder, f"class folders {_few(unknown)}", f"those of {_TRAIN}: {_few(classes)}")
    return classes


def _image_set(listing: Listing, data_dir: Path, options: FolderOptions) -> StoredImageSet:
    folder = data_dir / ".decoded" if options.decoded_dir is None else Path(options.decoded_dir)
    workers = _cores() if options.decode_workers is None else options.decode_workers
    file = decoded(listing, options.side, folder, workers)
    if len(file.pixels):  # mapped from here on, so that no other run takes it away
        deal_with_older(file.path, remove=options.decoded_dir is None)
    _deal_with(listing, [(listing.files[row], reason) for row, reason in file.broken.items()], options)
    rows = _good_rows(file)
    if len(rows) == 0:
        raise DataFileError(listing.folder, "no image that can be read", "images")
    pixels = StoredPixels(file, rows, options.image_size)
    return StoredImageSet(
        pixels, listing.labels[rows], len(listing.classes), listing.classes, least_share=options.least_crop
    )


def _good_rows(file: PixelFile) -> torch.Tensor:
    good = torch.ones(file.count, dtype=torch.bool)
    good[list(file.broken)] = False
    return good.nonzero()[:, 0]


def _deal_with(listing: Listing, problems: Sequence[tuple[str, str]], options: FolderOptions) -> None:
    if not problems:
        return
    named = _few([f"{path} ({reason})" for path, reason in problems], "; ")
    if options.broken_images == "skip":
        note(f"{listing.folder}: left out {len(problems)}: {named}")
        return
    raise DataFileError(
        listing.folder, printable(f"{len(problems)} that are no images of a class: {named}"),
        "images of the same classes everywhere, or --broken-images skip, which goes without them",
    )  # fmt: skip


def _few(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settled(options: FolderOptions, images: ImageSet) -> FolderOptions:
    """The options with the classes that were found, so that a label means the same wherever the run is looked at."""
    return replace(options, classes=images.class_names)


# The field's radius for photographs; for the rest, CIFAR's recipe with fewer images a mini-batch.
SOURCE = Source(
    "folder",
    "images of your own in DIR/train and DIR/val (or test), one folder a class",
    read,
    {
        "model": "preactresnet18", "augment": True, "eps": 4 / 255, "alpha": 1 / 255, "epochs": 36, "batch_size": 128,
        "lr": 0.1, "milestones": (30, 34), "eval_steps": 20,
    },
    options=FolderOptions,
    read_test=read_test,
    settle=settled,
)  # fmt: skip
