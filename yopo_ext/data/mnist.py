# SPDX-License-Identifier: MIT
"""MNIST (LeCun, Cortes, Burges) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), IDX files."""

from __future__ import annotations

from functools import partial

from .dataset import Source
from .idx import read_idx_images
from .layout import Layout, reader

_RECIPE = {
    "model": "smallcnn", "n": 10, "alpha": 0.01, "epochs": 10, "batch_size": 256, "lr": 0.01, "milestones": (7, 9),
}  # fmt: skip


def _layout(*folders: str) -> Layout:
    train, test = (partial(read_idx_images, prefix=prefix) for prefix in ("train", "t10k"))
    return Layout(folders, "train-images-idx3-ubyte", train, test)


SOURCES = (
    Source(
        "mnist",
        "handwritten digits, 28×28: IDX files, gzipped or plain",
        reader("mnist", _layout("MNIST/raw", "mnist", ".")),
        {**_RECIPE, "eps": 0.3, "eval_alpha": 0.01},
    ),
    Source(
        "fashion-mnist",
        "clothes, 28×28: IDX files, gzipped or plain",
        reader("fashion-mnist", _layout("FashionMNIST/raw", "fashion-mnist", ".")),
        {**_RECIPE, "eps": 0.1},
    ),
)
