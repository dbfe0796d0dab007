# SPDX-License-Identifier: MIT
"""The decoded images of a folder, in a file that is mapped into memory: made once, then reused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ..atomic_files import WriteError, write_failure, write_text_atomically
from .decoding import CHANNELS, UndecodableError, decode
from .errors import DataFileError
from .folder_listing import Listing
from .notes import note
from .older_decodings import mapped, what_it_is_of

_FORMAT = 1
#: Seconds of work that a crash may cost.
_SAVE_EVERY = 10.0
_BATCH = 16
_IMAGENET = 1_281_167
_GB = 1e9


@dataclass(frozen=True)
class PixelFile:
    """Pixels (N, 3, side, side) uint8, row by row without a header, in the order of a listing.

    Attributes:
        path: of the file; what is known of it is beside it, in a file that ends in ``.json``.
        count, side: of the images.
        broken: rows of files that could not be decoded, with the reason; they are 0.
    """

    path: Path
    count: int
    side: int
    broken: dict[int, str]

    @cached_property
    def pixels(self) -> np.ndarray:
        """All of them, mapped into memory for reading."""
        return mapped(self.path, _shape(self.count, self.side), "r")

    def __getstate__(self) -> dict[str, object]:
        """Without the mapping, which another process makes anew."""
        return {name: value for name, value in vars(self).items() if name != "pixels"}


def decoded(listing: Listing, side: int, folder: Path, workers: int) -> PixelFile:
    """The pixel file of these images in ``folder``: the one that is there, finished if need be, or a new one.

    Files of the same names, sizes and times are not decoded again. Says beforehand how large the file gets, and takes
    that room at once. What was interrupted goes on within `_SAVE_EVERY` seconds of where it was; of several processes
    that ask for it one does the work, in ``workers`` more, and the others wait.

    Raises:
        DataFileError: too little room in the folder.
        WriteError: it cannot be written.
    """
    path = folder / f"{listing.folder.name}-{side}px-{listing.fingerprint}.u8"
    try:
        if (made := _complete(path, len(listing), side)) is not None:
            return made
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if (made := _complete(path, len(listing), side)) is None:
                _decode_rest(listing, side, path, workers)
                made = _complete(path, len(listing), side)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{write_failure(path, error)}; --decoded-dir names another folder") from error
    if made is None:
        raise DataFileError(path, "another size than was written", "that nothing else writes there")
    return made


def _shape(count: int, side: int) -> tuple[int, int, int, int]:
    return count, CHANNELS, side, side


def _complete(path: Path, count: int, side: int) -> PixelFile | None:
    done, broken = _progress(path, count, side)
    return PixelFile(path, count, side, broken) if done == count else None


def _progress(path: Path, count: int, side: int) -> tuple[int, dict[int, str]]:
    """How many rows are done, and which of these are broken."""
    try:
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        size = path.stat().st_size
        fits = (known["format"], known["count"], size) == (_FORMAT, count, count * CHANNELS * side**2)
        return (known["done"], dict(known["broken"])) if fits else (0, {})
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return 0, {}


def _decode_rest(listing: Listing, side: int, path: Path, workers: int) -> None:
    from tqdm import tqdm

    done, broken = _progress(path, len(listing), side)
    _take_room(path, len(listing), side)
    left = len(listing) - done
    size = len(listing) * CHANNELS * side**2
    note(
        f"decoding {left:,} of {len(listing):,} images of {listing.folder.name} ({len(listing) / _IMAGENET:.2g} of "
        f"ImageNet) to {side}x{side}: {size / _GB:.3g} GB in {path.parent}, kept for the next time"
    )
    pixels = mapped(path, _shape(len(listing), side), "r+")
    save = partial(_save, path, pixels, what_it_is_of(listing))
    started = saved = monotonic()
    try:
        with tqdm(total=left, desc="decoding", unit="image", disable=None, leave=False) as bar:
            for images, reasons in _decoded_batches(listing, side, done, workers):
                pixels[done : done + len(images)] = images
                broken |= {done + row: reason for row, reason in reasons.items()}
                done += len(images)
                bar.update(len(images))
                if monotonic() - saved > _SAVE_EVERY:
                    save(done, broken)
                    saved = monotonic()
    finally:
        save(done, broken)
    seconds = monotonic() - started
    note(f"decoded {left:,} images in {seconds:.1f} s, {left / max(seconds, 1e-9):,.0f} a second")


def _save(path: Path, pixels: np.memmap, of: dict[str, Any], done: int, broken: dict[int, str]) -> None:
    """First the rows, then the word that they are there."""
    pixels.flush()
    known = {"format": _FORMAT, "count": len(pixels), "done": done, "broken": list(broken.items()), "of": of}
    write_text_atomically(path.with_suffix(".json"), json.dumps(known) + "\n")


def _take_room(path: Path, count: int, side: int) -> None:
    """Makes the file as large as it gets, its blocks too: a disk that fills up later would cost the work."""
    size = count * CHANNELS * side**2
    has = path.stat().st_blocks * 512 if path.exists() else 0
    free = shutil.disk_usage(path.parent).free
    if size - has > free:
        raise DataFileError(
            path.parent, f"{free / _GB:.3g} GB free",
            f"{(size - has) / _GB:.3g} GB for {count:,} decoded images of {side}x{side}: --decoded-dir names another "
            "folder, --image-size and --resize make them smaller",
        )  # fmt: skip
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)


class _Decoder(torch.utils.data.Dataset):
    """(pixels, None), or zeros and the reason why not."""

    def __init__(self, folder: Path, files: tuple[str, ...], side: int) -> None:
        self.folder, self.files, self.side = folder, files, side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, str | None]:
        try:
            return decode(self.folder / self.files[index], self.side), None
        except UndecodableError as error:
            return np.zeros(_shape(1, self.side)[1:], np.uint8), str(error)


def _decoded_batches(
    listing: Listing, side: int, done: int, workers: int
) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    """Batches of pixels (B, 3, side, side) in the listing's order, and why rows of them are empty."""
    left = listing.files[done:]
    workers = min(workers, len(left) // (4 * _BATCH))  # a few images are not worth the start of a process
    loader = torch.utils.data.DataLoader(
        _Decoder(listing.folder, left, side), _BATCH, num_workers=workers, collate_fn=_collate,
        generator=torch.Generator(), worker_init_fn=_leave_interrupts_to_the_parent,
    )  # fmt: skip
    for images, reasons in loader:
        yield images.numpy(), reasons


def _collate(samples: list[tuple[np.ndarray, str | None]]) -> tuple[torch.Tensor, dict[int, str]]:
    images = torch.from_numpy(np.stack([pixels for pixels, _ in samples]))
    return images, {row: reason for row, (_, reason) in enumerate(samples) if reason is not None}


def _leave_interrupts_to_the_parent(worker: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
