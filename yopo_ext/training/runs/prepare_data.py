# SPDX-License-Identifier: MIT
"""From a configuration to its images."""

from __future__ import annotations

from ...data import Dataset, draw_part, load_dataset, split_held_out
from ..config import Config


def prepare_data(config: Config) -> Dataset:
    """The images to train on, those to measure on, and the held-out ones if the configuration wants any."""
    options = config.data
    data = load_dataset(options.dataset, options.data_dir)
    train, validation = data.train, None
    if options.held_out:
        train, validation = split_held_out(train, options.held_out)
    train = train if options.limit_train is None else draw_part(train, options.limit_train)
    test = data.test if options.limit_eval is None else draw_part(data.test, options.limit_eval)
    return Dataset(data.name, train, test, validation)
