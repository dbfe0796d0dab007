# SPDX-License-Identifier: MIT
"""docs/extending.md's order of the rooms: none imports one below it, but for the types that annotations name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "yopo_ext"
#: Rooms of the trainer, in an order of their own; other rooms within rooms are one with them.
TRAINING = "training/"
#: Files that are about all rooms beside or below them.
OF_ALL = {"__init__.py", "__main__.py", "catalogue.py", "training/__init__.py"}


def rooms() -> list[str]:
    """In the order of the page."""
    listed = re.findall(r"^\| `yopo_ext/([a-z_/]+)/` \|", (ROOT / "docs/extending.md").read_text("utf-8"), re.MULTILINE)
    return [name for name in listed if ("/" not in name or name.startswith(TRAINING)) and f"{name}/" != TRAINING]


def room_of(parts: tuple[str, ...]) -> str:
    """Of a module or file below the package; "" for one beside the rooms."""
    folders = [part for index, part in enumerate(parts) if (PACKAGE / Path(*parts[: index + 1])).is_dir()]
    return "/".join(folders[: 2 if folders[:1] == ["training"] else 1])


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """What the file imports of the package when it runs, as parts below the package."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    left_out = {id(inner) for node in for_types for inner in ast.walk(node)}
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in left_out:
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            if module[:1] == ("yopo_ext",):
                yield from ((*module[1:], name.name) for name in node.names)


@pytest.mark.parametrize("room", ["", *rooms()])
def test_a_room_imports_none_below_it(room):
    order = {name: index for index, name in enumerate(rooms())}
    order[""], order["training"] = order["backends"], order["training/runs"]  # beside the rooms; the trainer as one
    own = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    files = [path for path in own if room_of(path.parts) == room and path.as_posix() not in OF_ALL]
    assert files
    below = [
        f"{path} imports {'.'.join(found)}"
        for path in files
        for found in imports(PACKAGE / path)
        if order[room_of(found)] > order[room]
    ]
    assert below == []
