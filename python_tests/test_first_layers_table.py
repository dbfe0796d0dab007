# SPDX-License-Identifier: MIT
"""docs/_first-layers.md is what `find_first_layer` finds: every row, where the network's library is there."""

from __future__ import annotations

import sys

import pytest
from code_blocks import DOCS

PAGE = (DOCS / "_first-layers.md").read_text(encoding="utf-8").splitlines()
ROWS = {line.split("`")[1]: line for line in PAGE if line.startswith("| `")}


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(DOCS / "figures"))
    import first_layers_table

    return first_layers_table


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_is_found(script, name, one_thread):
    library, colon, _ = name.partition(":")
    if colon:  # where its operators are of another torch, the import raises anything
        pytest.importorskip(library, reason=f"needs {library}", exc_type=Exception)
    assert script.lines([name]) == [ROWS[name]]


def test_rows_are_those_of_the_script_in_its_order(script):
    assert tuple(ROWS) == script.NAMES
    assert len(ROWS) > 20
    header, rule, *_ = PAGE
    assert [header, rule] == script.table(script.HEADER, [])
