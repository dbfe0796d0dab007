# SPDX-License-Identifier: MIT
"""Data sets: readers of the standard files, and mini-batches on the device."""

from .augment import crop_and_flip, random_crop, random_flip
from .datasets import DATASETS, Dataset, load_dataset
from .errors import DataFileError
from .image_set import ImageSet, to_float
from .loader import DeviceLoader
from .split import draw_part, split_held_out

__all__ = [
    "DATASETS",
    "DataFileError",
    "Dataset",
    "DeviceLoader",
    "ImageSet",
    "crop_and_flip",
    "draw_part",
    "load_dataset",
    "random_crop",
    "random_flip",
    "split_held_out",
    "to_float",
]
