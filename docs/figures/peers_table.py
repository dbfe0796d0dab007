# SPDX-License-Identifier: MIT
"""`python docs/figures/peers_table.py`: docs/_peers.md, PGD-40 and steps of training beside other libraries."""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE, provenance

TARGET = HERE.parent / "_peers.md"


def table() -> str:
    found: dict[str, Any] = json.loads((BENCH / "results" / "peers.json").read_text())
    versions = found["versions"]
    best = found["attacks"]["yopo_ext"]["seconds"]
    lines = [f"| PGD-40, {found['images']} images | seconds | × ours | robust accuracy |", "|---|---|---|---|"]
    for name, one in found["attacks"].items():
        ratio = one["seconds"] / best
        lines.append(f"| {_named(name, versions)} | {one['seconds']:.2f} | {ratio:.2f} | {one['robust']:.1f} % |")
    names = list(dict.fromkeys(name for one in found["trainings"].values() for name in one))
    header = ["a step of training, seconds", *(_named(name, versions) for name in names)]
    lines += ["", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for method, least in found["trainings"].items():
        cells = [f"{least[name]:.2f}" if name in least else "–" for name in names]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    missing = [name for name, version in versions.items() if version is None]
    told = f" Not installed, so not measured: {', '.join(missing)}." if missing else ""
    load = f", beside other work (load {found['load before']:g}), so that ratios are rough" if found["busy"] else ""
    return "\n".join([*lines, "", f"Measured on: {provenance(found)}{load}.{told}"]) + "\n"


def _named(name: str, versions: dict[str, str | None]) -> str:
    return f"{name} {versions[name]}" if versions.get(name) else name


if __name__ == "__main__":
    TARGET.write_text(table())
