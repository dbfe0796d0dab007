# SPDX-License-Identifier: MIT
"""From a configuration to its images."""

from __future__ import annotations

from ..data import Dataset, draw_part, load_dataset, split_held_out
from .config import TrainConfig


def prepare_data(config: TrainConfig) -> Dataset:
    """The images to train on, those to measure on, and the held-out ones if the configuration wants any."""
    data = load_dataset(config.dataset, config.data_dir)
    train, validation = data.train, None
    if config.held_out:
        train, validation = split_held_out(train, config.held_out)
    train = train if config.limit_train is None else draw_part(train, config.limit_train)
    test = data.test if config.limit_eval is None else draw_part(data.test, config.limit_eval)
    return Dataset(data.name, train, test, validation)
