# SPDX-License-Identifier: MIT
"""One image file to 8-bit pixels of a fixed size, by Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

CHANNELS = 3


class UndecodableError(ValueError):
    """A file is no image that can be read; says why."""


def decode(path: Path | str, side: int) -> np.ndarray:
    """The image's central square, (3, side, side) uint8 red, green and blue.

    As torchvision's ``ImageFolder``, ``Resize(side)`` and ``CenterCrop(side)`` give it, to one grey level, except that
    it is turned as its EXIF orientation says and that 16-bit grey keeps its upper 8 bits. Transparency is dropped, of
    several frames the first one counts.

    Raises:
        UndecodableError: the file is missing, empty, truncated, no image, too large for Pillow's guard, or of floats.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities that do not keep an image from being read
            with Image.open(path) as image:
                image.load()
                return _central_square(_as_rgb(_upright(image)), side)
    except Exception as error:  # on arbitrary bytes a decoder raises anything
        raise UndecodableError(_reason(path, error)) from error


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the pixels are right, what cannot be read says nothing of their orientation
        return image


def _as_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "F":
        raise UndecodableError("its pixels are floats, whose range is not known")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UndecodableError(f"its pixels run from {values.min()} to {values.max()}, expected 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return image.convert("RGB")


def _central_square(image: Image.Image, side: int) -> np.ndarray:
    """Resizes and crops in one go, so that an image of 10,000 × 2 takes no more memory than another."""
    from PIL import Image

    shorter = min(image.size)
    box: list[list[float]] = []
    for length in image.size:
        resized = int(side * length / shorter)
        start = round((resized - side) / 2)
        box.append([start * length / resized, min((start + side) * length / resized, length)])
    (left, right), (top, bottom) = box
    square = image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _reason(path: Path | str, error: Exception) -> str:
    path = Path(path)
    if isinstance(error, UndecodableError):
        return str(error)
    if path.is_symlink() and not path.exists():
        return "a link to nothing"
    if path.is_file() and path.stat().st_size == 0:
        return "empty"
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
