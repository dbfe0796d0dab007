# SPDX-License-Identifier: MIT
"""What ends a training that was well begun."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """Training cannot go on: the message says where it stopped and what is left."""
