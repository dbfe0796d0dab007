# SPDX-License-Identifier: MIT
"""What a comparison's rows share, and what tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...data import DATASETS
from ...options import options_of
from ..config import Config, make_config, read_began_with

#: These decide which images there are or how they are measured, and where: figures side by side need them alike.
SHARED = (
    "dataset", "data_dir", "limit_train", "limit_eval", "held_out", "eps", "norm", "eval_steps", "eval_alpha",
    "curve_steps", "curve_images", "device",
)  # fmt: skip


def rows_in(folder: Path) -> list[Path]:
    """The ``config.json`` of a comparison's runs, in the order in which they were asked for.

    Raises:
        ValueError: there is none, or one of those that began together is missing.
    """
    found = sorted(folder.glob("*/config.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise ValueError(f"{folder}: no runs to go on with")
    names = read_began_with(found[0])
    if names is None:  # of a version that did not write it down
        return found
    wanted = [folder / name / "config.json" for name in names]
    if missing := [path for path in wanted if not path.is_file()]:
        raise ValueError(
            f"{missing[0]}: no such file, of a comparison of {len(names)} runs; where no run has a last.pt it had not "
            "begun: remove the folder and start again"
        )
    return wanted


def check_rows(configs: Sequence[Config]) -> None:
    """Raises ``ValueError`` for no configuration, two alike, or rows whose figures could not be compared."""
    if not configs:
        raise ValueError("no methods to compare")
    names = row_names(configs)
    if len(set(names)) < len(names):
        raise ValueError(f"methods to compare must differ, in themselves or in a setting, got {', '.join(names)}")
    for name in (*SHARED, *options_of(type(configs[0].source))):  # the first of them is the set
        values = {config[name]: None for config in configs}
        if len(values) > 1:
            given = " and ".join(map(repr, values))
            raise ValueError(
                f"{name}: got {given} in one comparison, expected one value: the rows share their images and how they "
                "are measured"
            )


def row_names(configs: Sequence[Config]) -> list[str]:
    """For folders and summaries: each row's method; where several rows are of one, the settings in which these differ.

    As ``yopo-5-3_alpha=0.02``. A value that most of them have goes without saying. The order of the rows does not
    matter. Rows that are alike get one name.
    """
    names = []
    for config in configs:
        same = [other.settings(host=False) for other in configs if other.method_name == config.method_name]
        own = config.settings(host=False).items()
        told = [f"{name}={_in_a_name(value)}" for name, value in own if not _is_common(name, value, same)]
        names.append("_".join([config.method_name, *told]))
    return names


def _is_common(name: str, value: object, rows: Sequence[dict[str, object]]) -> bool:
    """Whether more of the rows that have the setting have this value than any other."""
    counts = Counter(repr(row[name]) for row in rows if name in row).most_common(2)
    return counts[0][0] == repr(value) and (len(counts) == 1 or counts[0][1] > counts[1][1])


def _in_a_name(value: object) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def row_labels(configs: Sequence[Config]) -> list[str]:
    """For tables and figures: each row's method, then its own values of the settings in which the rows differ.

    Values that look alike when rounded are told apart by the row's name.
    """
    settings = [config.settings(host=False) for config in configs]
    labels = [config.label for config in configs]
    for name in dict.fromkeys(name for one in settings for name in one):
        # The name tells its method and numbers already.
        readers = [i for i, config in enumerate(configs) if config.reads(name) and not _is_in_the_name(config, name)]
        if name in SHARED or len({settings[i][name] for i in readers}) < 2:
            continue
        for i in readers:
            if settings[i][name] is not None and not _is_usual(configs[i], name):
                labels[i] += f", {name} {_text(settings[i][name])}"
    alike = {label for label in labels if labels.count(label) > 1}
    return [name if label in alike else label for name, label in zip(row_names(configs), labels, strict=True)]


def _is_in_the_name(config: Config, name: str) -> bool:
    return name in ("method", "start") or name in config.declared_method.numbers


def _is_usual(config: Config, name: str) -> bool:
    """Whether the method's own objective or step size is meant, or the objective's own head."""
    if name == "objective":
        return config.objective.name == config.declared_method.objective
    if name == "head":
        return config.head.name == config.declared_objective.head
    if name != "alpha" or config.data.dataset not in DATASETS:
        return False
    usual = make_config(dataset=config.data.dataset, method=config.method_name, eps=config.ball.eps)
    return config.ball.alpha == usual.ball.alpha


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
