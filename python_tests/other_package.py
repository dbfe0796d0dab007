# SPDX-License-Identifier: MIT
"""A package of somebody else's, as pip leaves it: modules, and the entry points by which its parts are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_package(
    site: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """Writes it into the folder `site`, which is made and returned.

    Args:
        modules: their texts by name, as "corners_attack" or "my_package.noise".
        entry_points: by group, what each name stands for, as "corners_attack:ATTACK".
    """
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{point} = {value}" for point, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        file = site / f"{module.replace('.', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return site
