# SPDX-License-Identifier: MIT
"""What an epoch's record says of the size of its images: what was found at one size says nothing beside another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from .event import Record

#: The side in pixels, of epochs on smaller images alone.
IMAGE_SIZE = "image_size"


def since_the_size_changed(records: Sequence[Record]) -> list[Record]:
    """The last records, those with images as large as the very last one's."""
    size = records[-1].get(IMAGE_SIZE)
    return list(takewhile(lambda record: record.get(IMAGE_SIZE) == size, reversed(records)))[::-1]
