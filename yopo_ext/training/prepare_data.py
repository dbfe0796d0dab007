# SPDX-License-Identifier: MIT
"""From a configuration to its images."""

from __future__ import annotations

from ..data import Dataset, load_dataset, split_held_out
from .config import TrainConfig


def prepare_data(config: TrainConfig) -> Dataset:
    """The images to train on and those to measure on, held-out training images if the configuration says so."""
    data = load_dataset(config.dataset, config.data_dir)
    train, test = data.train, data.test
    if config.held_out:
        train, test = split_held_out(train, config.held_out)
    train = train if config.limit_train is None else train.take(config.limit_train)
    test = test if config.limit_eval is None else test.take(config.limit_eval)
    return Dataset(data.name, train, test)
