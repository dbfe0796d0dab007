# SPDX-License-Identifier: MIT
"""What the files of a run are called."""

from __future__ import annotations

CONFIG, LOG, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
LAST, BEST, GOOD = "last.pt", "best.pt", "good.pt"
#: the folder of the kept epochs, in a run's folder
EPOCHS = "epochs"


def epoch_file(epoch: int) -> str:
    """Where a run folder keeps the weights of an epoch."""
    return f"{EPOCHS}/{epoch:03d}.pt"
