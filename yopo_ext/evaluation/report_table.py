# SPDX-License-Identifier: MIT
"""Reports of several networks side by side: one row a network."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .report import Report
from .sweeps import Sweep, SweepTable
from .tables import format_table

#: In place of a figure that a network has not.
NOTHING = "-"


@dataclass(frozen=True)
class ReportTable:
    """What was found of each network, by name: its report, or why there is none.

    Attributes:
        reports: by name, in order; of a network that could not be measured the reason.
        sweeps: of each network that was measured, one for each setting that was swept.
    """

    reports: Mapping[str, Report | str]
    sweeps: Mapping[str, Sequence[Sweep]] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """The reasons by name."""
        return {name: found for name, found in self.reports.items() if isinstance(found, str)}

    @property
    def measured(self) -> dict[str, Report]:
        """The reports by name."""
        return {name: found for name, found in self.reports.items() if isinstance(found, Report)}

    @property
    def joint_sweeps(self) -> list[SweepTable]:
        """The sweeps of all networks together, one table for each setting that was swept."""
        several = zip(*self.sweeps.values(), strict=True)
        return [SweepTable(dict(zip(self.sweeps, ones, strict=True))) for ones in several]

    def to_json(self) -> str:
        """One JSON object: "networks", a report's entries, "sweeps" where there are some, or "error" by name."""
        found: dict[str, Any] = {
            name: one.to_dict() if isinstance(one, Report) else {"error": one} for name, one in self.reports.items()
        }
        for name, sweeps in self.sweeps.items():
            found[name]["sweeps"] = [one.to_dict() for one in sweeps]
        return json.dumps({"networks": found}, indent=2)

    def to_table(self) -> str:
        """Columns for people; what failed below, and the sweeps."""
        text = format_table(*self._cells())
        text = "\n".join([text, *(f"{name}: {reason}" for name, reason in self.failures.items())])
        return "\n\n".join([text, *(one.to_table() for one in self.joint_sweeps)])

    def to_markdown(self) -> str:
        """The columns as a Markdown table; what failed below."""
        header, rows = self._cells()
        lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (header, *rows)]
        rule = "|".join(["---", *["---:"] * (len(header) - 1)])
        text = "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])
        return "\n".join([text, *(f"\n{name}: {reason}" for name, reason in self.failures.items())])

    def to_csv(self) -> str:
        """The columns as comma-separated values, empty where there is no figure, and "error"."""
        header, rows = self._cells()
        errors = [self.failures.get(name, "") for name in self.reports]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*header, "error"])
        for row, error in zip(rows, errors, strict=True):
            writer.writerow(["" if cell == NOTHING else cell for cell in row] + [error])
        return text.getvalue().rstrip("\n")

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        attacks = list(dict.fromkeys(label for one in self.measured.values() for label in one.robust))
        worst = ["worst case %"] if len(attacks) > 1 else []
        header = ["network", "clean %", *(f"{label} %" for label in attacks), *worst, "norm", "eps", "images"]
        return header, [self._row(name, one, attacks, bool(worst)) for name, one in self.reports.items()]

    def _row(self, name: str, found: Report | str, attacks: Sequence[str], worst: bool) -> list[str]:
        if isinstance(found, str):
            return [name, "failed", *[NOTHING] * (len(attacks) + worst + 3)]
        figures = [found.clean, *(found.robust.get(label) for label in attacks), *([found.worst] if worst else [])]
        cells = [NOTHING if figure is None else f"{figure:.2f}" for figure in figures]
        eps = NOTHING if found.eps is None else f"{found.eps:.4g}"
        return [name, *cells, found.norm or NOTHING, eps, str(found.images)]
