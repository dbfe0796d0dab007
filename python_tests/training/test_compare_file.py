# SPDX-License-Identifier: MIT
"""A file of settings for all methods of a comparison."""

from __future__ import annotations

from yopo_ext.cli import build_parser, compare


def test_each_method_takes_what_it_has_from_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        '[method]\nname = "yopo-5-10"\nfirst_layer_grad = "both"\n\n[ball]\neps = 0.2\n\n'
        '[optimizer]\nname = "adam"\nlr = 0.002\n\n[events.curve]\ncurve_every = 2\n'
    )
    options = build_parser().parse_args(
        ["compare", "--methods", "natural,yopo-3-5,free:lr=0.1", "--config", str(file), "--lr", "0.01"]
    )
    rows, _ = compare._new(options)
    assert [row.method_name for row in rows] == ["natural", "yopo-3-5", "free-5"]
    assert [row.get("first_layer_grad") for row in rows] == [None, "both", None]
    assert [row["lr"] for row in rows] == [0.01, 0.01, 0.1]
    assert {(row["eps"], row["optimizer"], row["curve_every"]) for row in rows} == {(0.2, "adam", 2)}
