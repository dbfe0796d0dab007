# SPDX-License-Identifier: MIT
"""Runs on small images first, by the tests of them."""

import any_size_net

from yopo_ext.training import change_config

GROWING = {"model": any_size_net.NAME, "progressive_sizes": (4, 6), "progressive_epochs": (1, 1), "curve_every": 3}


def growing(runs, **changes):
    return change_config(runs.config, **{"alpha": 0.03, "method": "fast", **GROWING, **changes})


def spied(trainer):
    """The images of each mini-batch."""
    met, accumulate = [], trainer.adversary.accumulate

    def spy(x, y):
        met.append(x.clone())
        return accumulate(x, y)

    trainer.adversary.accumulate = spy
    return met
