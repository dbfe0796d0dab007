# SPDX-License-Identifier: MIT
"""What a comparison's rows share, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from .config import HOST_FIELDS, TrainConfig
from .method_names import method_label, method_name
from .method_settings import unread
from .presets import DATASET_DEFAULTS, make_config

#: These decide which images there are or how they are measured, and where: figures side by side need them alike.
SHARED = (
    "dataset", "data_dir", "limit_train", "limit_eval", "held_out", "eps", "norm", "eval_steps", "eval_alpha",
    "curve_steps", "curve_images", "device",
)  # fmt: skip
# The name tells them already.
_IN_THE_NAME = ("method", "m", "n", "pgd_steps")


def check_rows(configs: Sequence[TrainConfig]) -> None:
    """Raises ``ValueError`` for no configuration, two of one name, or rows whose figures could not be compared."""
    if not configs:
        raise ValueError("no methods to compare")
    names = [method_name(config) for config in configs]
    if len(set(names)) < len(names):
        raise ValueError(f"methods to compare must differ, got {', '.join(names)}")
    for name in SHARED:
        values = {getattr(config, name): None for config in configs}
        if len(values) > 1:
            given = " and ".join(map(repr, values))
            raise ValueError(f"{name}: got {given} in one comparison, expected one value: the rows share their images "
                             "and how they are measured")  # fmt: skip


def row_labels(configs: Sequence[TrainConfig]) -> list[str]:
    """For tables and figures: each row's method, then its own values of the settings in which the rows differ."""
    ignored = [unread(config.to_dict()) for config in configs]
    labels = [method_label(config) for config in configs]
    for field in fields(TrainConfig):
        if field.name in (*SHARED, *_IN_THE_NAME, *HOST_FIELDS):
            continue
        readers = [i for i in range(len(configs)) if field.name not in ignored[i]]
        if len({getattr(configs[i], field.name) for i in readers}) < 2:
            continue
        for i in readers:
            if not _is_own_alpha(configs[i], field.name):
                labels[i] += f", {field.name} {_text(getattr(configs[i], field.name))}"
    return labels


def _is_own_alpha(config: TrainConfig, name: str) -> bool:
    if name != "alpha" or config.dataset not in DATASET_DEFAULTS:
        return False
    return config.alpha == make_config(dataset=config.dataset, method=config.method, eps=config.eps).alpha


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
