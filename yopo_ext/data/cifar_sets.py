# SPDX-License-Identifier: MIT
"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in their binary and their Python version."""

from __future__ import annotations

from .cifar import read_cifar10_test, read_cifar10_train, read_cifar100_test, read_cifar100_train
from .cifar_pickles import (
    read_pickled_cifar10_test,
    read_pickled_cifar10_train,
    read_pickled_cifar100_test,
    read_pickled_cifar100_train,
)
from .dataset import Source
from .layout import Layout, reader

_RECIPE = {
    "model": "preactresnet18",
    "augment": True,
    "eps": 8 / 255,
    "alpha": 2 / 255,
    "epochs": 36,
    "batch_size": 256,
    "lr": 0.2,
    "milestones": (30, 34),
    "eval_steps": 20,
    "eval_alpha": 2 / 255,
}

SOURCES = (
    Source(
        "cifar10",
        "10 kinds of things, 32×32: the binary or the Python version",
        reader(
            "cifar10",
            Layout(("cifar-10-batches-bin", "."), "data_batch_1.bin", read_cifar10_train, read_cifar10_test),
            Layout(("cifar-10-batches-py", "."), "data_batch_1", read_pickled_cifar10_train, read_pickled_cifar10_test),
        ),
        _RECIPE,
    ),
    Source(
        "cifar100",
        "100 kinds of things, 32×32, fine labels: the binary or the Python version",
        reader(
            "cifar100",
            Layout(("cifar-100-binary", "."), "train.bin", read_cifar100_train, read_cifar100_test),
            Layout(("cifar-100-python", "."), "train", read_pickled_cifar100_train, read_pickled_cifar100_test),
        ),
        _RECIPE,
    ),
)
