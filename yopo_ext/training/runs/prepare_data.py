# SPDX-License-Identifier: MIT
"""From a configuration to its images."""

from __future__ import annotations

from ...data import DATASETS, Dataset, ImageSet, draw_part, load_dataset, load_test_images, split_held_out
from ...options import options_of
from ..config import Config, change_config


def prepare_data(config: Config) -> Dataset:
    """The images to train on, those to measure on, and the held-out ones if the configuration wants any."""
    options = config.data
    data = load_dataset(options.dataset, options.data_dir, config.source)
    train, validation = data.train, None
    if options.held_out:
        train, validation = split_held_out(train, options.held_out)
    train = train if options.limit_train is None else draw_part(train, options.limit_train)
    return Dataset(data.name, train, _measured_on(data.test, config), validation)


def prepare_test_images(config: Config) -> ImageSet:
    """The images to measure on, alone."""
    return _measured_on(load_test_images(config.data.dataset, config.data.data_dir, config.source), config)


def settled(config: Config, data: Dataset) -> Config:
    """The configuration with what its data set found, as the names of classes, so that it is found there again."""
    settle = DATASETS[config.data.dataset].settle if config.data.dataset in DATASETS else None
    if settle is None:
        return config
    source = settle(config.source, data.train)
    return change_config(config, **{name: getattr(source, name) for name in options_of(type(source))})


def _measured_on(test: ImageSet, config: Config) -> ImageSet:
    return test if config.data.limit_eval is None else draw_part(test, config.data.limit_eval)
