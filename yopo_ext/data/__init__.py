# SPDX-License-Identifier: MIT
"""Data sets: readers of the standard files, and mini-batches on the device."""

from .augment import crop_and_flip, draw_placement, place, random_crop, random_flip, take_back
from .batch import Batch, Placement, as_batch
from .dataset import DATASETS, Dataset, Source, load_dataset, load_test_images
from .errors import DataFileError
from .image_set import ImageSet, to_float
from .loader import DeviceLoader
from .loaders import make_loader
from .mixup import MixedBatches
from .split import draw_part, split_held_out
from .stored_images import StoredImageSet
from .stored_loader import StoredLoader

__all__ = [
    "DATASETS",
    "Batch",
    "DataFileError",
    "Dataset",
    "DeviceLoader",
    "ImageSet",
    "MixedBatches",
    "Placement",
    "Source",
    "StoredImageSet",
    "StoredLoader",
    "as_batch",
    "crop_and_flip",
    "draw_part",
    "draw_placement",
    "load_dataset",
    "load_test_images",
    "make_loader",
    "place",
    "random_crop",
    "random_flip",
    "split_held_out",
    "take_back",
    "to_float",
]
