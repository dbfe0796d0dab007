# SPDX-License-Identifier: MIT
"""What is printed after an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .breakdown import breakdown_table
from .config import TrainConfig
from .epoch_sums import EpochSums
from .method_names import method_label


def epoch_text(config: TrainConfig, record: Mapping[str, Any], sums: EpochSums, steps: int) -> str:
    """One line, then what the epoch's record warns of, then with ``profile`` where the time of its steps went."""
    label = method_label(config)
    accuracies = f", clean {record['clean']:.1f} %, robust {record['robust']:.1f} %" if "clean" in record else ""
    inner = f", inner loop {record['inner_share']:.1%} of the time" if "yopo" in config.method else ""
    lines = [
        f"{label} epoch {record['epoch']}/{config.epochs}: loss {record['loss']:.3f}{accuracies}, "
        f"{record['seconds']:.1f} s{inner}"
    ]
    lines += [f"{label}: {record[name]}" for name in ("switch", "warning") if name in record]
    if config.profile:
        lines.append(breakdown_table(sums.spans, sums.seconds, steps))
    return "\n".join(lines)
