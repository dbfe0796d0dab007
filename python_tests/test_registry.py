# SPDX-License-Identifier: MIT
"""What is in a room or an entry point is found by name; two of one name are refused."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from yopo_ext import registry
from yopo_ext.registry import Registry


@dataclass(frozen=True)
class Thing:
    name: str


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A package `room_of_things` with the modules that a test writes; this module is `things` to it."""

    def write(**modules: str) -> Registry[Thing]:
        folder = tmp_path / "room_of_things"
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(f"from things import Thing\n{text}\n")
        return Registry("thing", "room_of_things", Thing, "yopo_ext.things")

    monkeypatch.setitem(sys.modules, "things", sys.modules[__name__])
    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "room_of_things"]:
        del sys.modules[name]


def entry_point(monkeypatch, value: str) -> None:
    points = [EntryPoint("some", value, "yopo_ext.things")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "yopo_ext.things" else [])


def test_files_and_tuples_of_a_room_are_found_in_order(room):
    things = room(b="THINGS = (Thing('two'), Thing('three'))", a="THING = Thing('one')", c="value = 3")
    assert things.names == ("one", "two", "three")
    assert things["two"].name == "two"
    assert "four" not in things
    assert [thing.name for thing in things] == ["one", "two", "three"]


def test_nothing_is_imported_before_it_is_asked_for(room):
    things = room(a="THING = Thing('one')")
    assert "room_of_things.a" not in sys.modules
    assert "one" in things
    assert "room_of_things.a" in sys.modules


def test_an_unknown_name_lists_those_there_are(room):
    with pytest.raises(ValueError, match=r"^thing: got 'four', expected one of one, two$"):
        room(a="THINGS = (Thing('one'), Thing('two'))")["four"]


def test_two_of_one_name_are_refused_with_the_place(room):
    things = room(a="THING = Thing('one')", b="THING = Thing('one')")
    with pytest.raises(ValueError, match=r"^thing 'one': declared a second time, in room_of_things.b$"):
        things["one"]


def test_a_module_may_import_another_s_declaration(room):
    things = room(a="THING = Thing('one')", b="from room_of_things.a import THING")
    assert things.names == ("one",)


def test_other_packages_add_theirs(room, monkeypatch, tmp_path):
    (tmp_path / "theirs_of_things.py").write_text("from things import Thing\nTHING = Thing('theirs')\n")
    entry_point(monkeypatch, "theirs_of_things:THING")
    assert room(a="THING = Thing('one')").names == ("one", "theirs")


def test_an_entry_point_that_names_something_else_is_refused(room, monkeypatch):
    entry_point(monkeypatch, "math:pi")
    with pytest.raises(ValueError, match=r"'some' = 'math:pi' is a float, expected a Thing or a tuple of them$"):
        room(a="THING = Thing('one')").names  # noqa: B018
