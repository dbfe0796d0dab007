# SPDX-License-Identifier: MIT
"""`python docs/figures/catalogue_tables.py`: docs/_catalogue.md and docs/_settings.md, from what all parts declare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from yopo_ext.catalogue import KINDS, catalogue, settings, written
from yopo_ext.training.config.layout import EVENT_SECTION

DOCS = Path(__file__).resolve().parent.parent


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    cells = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {row} |" for row in cells)]


def catalogue_page(kinds: Sequence[str] = KINDS) -> str:
    """All that can be chosen by name, one table a kind."""
    parts = []
    for kind in kinds:
        rows = [(f"`{written(entry)}`", entry.help) for entry in catalogue(kind)]
        parts += [*table((f"`yopo list {kind}`", ""), rows), ""]
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting, as a section of a configuration file, once for each default and meaning."""
    owners: dict[tuple[str, ...], list[str]] = {}
    for section, name, owner, default, text in settings():
        place = f"{section}.{owner}" if section == EVENT_SECTION else section
        owners.setdefault((place, name, default, text), []).append("" if section == EVENT_SECTION else owner)
    rows = [
        (f"`[{place}]`", f"`{name}`", ", ".join(filter(None, names)), f"`{default}`" if default else "", text)
        for (place, name, default, text), names in owners.items()
    ]
    return "\n".join([*table(("section", "setting", "of", "default", ""), rows), ""])


PAGES = {"_catalogue.md": catalogue_page, "_settings.md": settings_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
