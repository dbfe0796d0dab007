# SPDX-License-Identifier: MIT
"""Options declare themselves: types, ranges and words are read from the fields and checked with one sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from yopo_ext.options import check_options, from_plain, option, options_of, to_plain


@dataclass(frozen=True)
class Ascent:
    steps: int = option(10, "steps of the attack", least=1)
    eps: float = option(0.1, "radius", least=0, below=1, unit="images in [0, 1]")
    norm: str = option("linf", "the ball's", choices=("linf", "l2"))
    delay: int | str | None = option(None, "epochs", least=1, words=("auto",))
    drops: tuple[int, ...] = option((), "epochs", least=1)
    mean: tuple[float, ...] | None = option(None, "of a channel")
    smooth: bool = option(False, "whether")

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    "right",
    [
        {"steps": 1}, {"eps": 0}, {"eps": 0.999}, {"norm": "l2"}, {"delay": "auto"}, {"delay": 3}, {"delay": None},
        {"drops": (1, 2)}, {"mean": (0.1, 1)}, {"mean": None}, {"smooth": True},
    ],
)  # fmt: skip
def test_what_fits_is_taken(right):
    written = json.dumps(to_plain(Ascent(**right)))
    assert from_plain(Ascent, json.loads(written)) == Ascent(**right)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 2.5}, "steps: got 2.5, expected a whole number of at least 1"),
        ({"steps": 0}, "steps: got 0, expected a whole number of at least 1"),
        ({"steps": True}, "steps: got True, expected a whole number of at least 1"),
        ({"eps": "0.1"}, "eps: got '0.1', expected a finite number of at least 0 and below 1"),
        ({"eps": float("nan")}, "eps: got nan, expected a finite number"),
        ({"eps": 1}, "eps: got 1, expected a finite number of at least 0 and below 1"),
        ({"norm": "l1"}, "norm: got 'l1', expected one of linf, l2"),
        ({"delay": "later"}, "delay: got 'later', expected auto or a whole number of at least 1 or none"),
        ({"drops": 3}, "drops: got 3, expected several, each a whole number of at least 1"),
        ({"drops": (1, 0)}, r"drops: got \(1, 0\), expected several"),
        ({"mean": (0.1, "x")}, "mean: got"),
        ({"smooth": 1}, "smooth: got 1, expected true or false"),
        ({"steps": None}, "steps: got None, expected a whole number of at least 1"),
    ],
)
def test_what_does_not_is_named(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Ascent(**wrong)


def test_unknown_names_in_a_file_are_named():
    with pytest.raises(ValueError, match=r"^unknown settings: epz, stepz$"):
        from_plain(Ascent, {"stepz": 1, "epz": 2})


def test_what_a_field_says_is_there_for_help_and_tables():
    found = options_of(Ascent)
    assert list(found) == ["steps", "eps", "norm", "delay", "drops", "mean", "smooth"]
    assert (found["eps"].help, found["eps"].unit, found["eps"].kind) == ("radius", "images in [0, 1]", float)
    assert found["delay"].optional
    assert found["delay"].kind is int
    assert found["drops"].several
    assert not found["drops"].optional
