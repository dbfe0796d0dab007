# SPDX-License-Identifier: MIT
"""Where the files of a data set may lie below the folder that the user names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .errors import DataFileError
from .image_set import ImageSet


@dataclass(frozen=True)
class Layout:
    """Folders that are tried, the file that shows that a set is there (also gzipped), and the readers of its parts.

    The folders are the usual nested one, the set's own, or none (".").
    """

    folders: tuple[str, ...]
    marker: str
    read_train: Callable[[Path], ImageSet]
    read_test: Callable[[Path], ImageSet]


def reader(name: str, *layouts: Layout) -> Callable[[Path | None], tuple[ImageSet, ImageSet]]:
    """The `read` of a `Source`: the first layout that is found counts."""
    return partial(_read, name, layouts)


def _read(name: str, layouts: tuple[Layout, ...], data_dir: Path) -> tuple[ImageSet, ImageSet]:
    folder, layout = _find(name, layouts, data_dir)
    return layout.read_train(folder), layout.read_test(folder)


def _find(name: str, layouts: tuple[Layout, ...], data_dir: Path) -> tuple[Path, Layout]:
    """The folder below ``data_dir`` that holds the files of a set. Raises `DataFileError` where none does."""
    if not data_dir.is_dir():
        raise DataFileError(data_dir, "no such folder", f"the folder with the files of {name}")
    for layout in layouts:
        for relative in layout.folders:
            folder = data_dir / relative
            if (folder / layout.marker).is_file() or (folder / f"{layout.marker}.gz").is_file():
                return folder, layout
    places = " or ".join(str(Path(relative) / layout.marker) for layout in layouts for relative in layout.folders)
    raise DataFileError(data_dir, f"no {' or '.join(layout.marker for layout in layouts)}", places)
