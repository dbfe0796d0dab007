# SPDX-License-Identifier: MIT
"""What moves the weights: torch's optimisers, one family a file."""

from .optimizer import OPTIMIZERS, Optimizer, OptimizerOptions

__all__ = ["OPTIMIZERS", "Optimizer", "OptimizerOptions"]
