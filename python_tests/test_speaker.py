# SPDX-License-Identifier: MIT
"""Who speaks where a launcher started the command several times."""

import pytest

from yopo_ext.cli import main, speaker


@pytest.fixture
def waited(monkeypatch):
    found = []
    monkeypatch.setattr(speaker.time, "sleep", found.append)
    return found


def in_process(monkeypatch, rank, count):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(count))


COMPLAINT = "yopo train: argument -m: invalid int value: 'x'\n"


@pytest.mark.parametrize(
    ("rank", "count", "err"), [(0, 2, COMPLAINT), (1, 2, f"process 1: {COMPLAINT}"), (1, 1, COMPLAINT)]
)
def test_another_process_lets_the_first_complain(monkeypatch, capsys, waited, rank, count, err):
    in_process(monkeypatch, rank, count)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "-m", "x"])
    assert (stopped.value.code, capsys.readouterr().err) == (2, err)
    assert waited == ([speaker.PATIENCE] if err != COMPLAINT else [])


def test_wrong_settings_too(monkeypatch, capsys, waited):
    in_process(monkeypatch, 1, 2)
    assert main(["train", "--eps", "-1"]) == 2
    assert capsys.readouterr().err.startswith("process 1: yopo: eps must be")
    assert waited == [speaker.PATIENCE]


def test_what_all_have_to_say_the_first_says(monkeypatch, capsys):
    for rank in (0, 1):
        in_process(monkeypatch, rank, 2)
        speaker.say("interrupted")
    assert capsys.readouterr().err == "interrupted\n"
