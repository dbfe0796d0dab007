# SPDX-License-Identifier: MIT
"""The training loop: the trainer, its steps, and what they need."""

from .cuda_graph import GraphedAdversary
from .last_batch import check_last_batch
from .sync_batch_norm import with_joint_statistics
from .trainer import Trainer

__all__ = ["GraphedAdversary", "Trainer", "check_last_batch", "with_joint_statistics"]
