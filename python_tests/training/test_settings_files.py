# SPDX-License-Identifier: MIT
"""What is wrong in a file of settings is one line that names the file, also where a value is of another type."""

from __future__ import annotations

import pytest

from yopo_ext.cli import main

WRONG = {
    '[loop]\nepochs = "many"': "epochs: got 'many', expected a whole number of at least 1",
    "[ball]\neps = true": "eps: got True, expected a finite number of at least 0",
    "[schedule]\nmilestones = [1.5]": "milestones: got (1.5,), expected several, each a whole number of at least 0",
    "[schedule]\nmilestones = 3": "milestones: got 3, expected several, each a whole number of at least 0",
    "[optimizer]\nname = 1": "optimizer.name: got 1, expected one of adam, adamw, sgd, nesterov",
    "[loop]\nlr = 0.1": "loop: unknown settings: lr; it belongs to optimizer",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=WRONG.values())
def test_a_wrong_file_is_named(text, message, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(text)
    assert main(["train", "--config", "mine.toml"]) == 2
    assert capsys.readouterr().err == f"yopo: mine.toml: not a configuration ({message})\n"


def test_a_value_out_of_range_is_refused_as_the_option_would_be(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[loop]\nepochs = 0")
    assert main(["train", "--config", "mine.toml"]) == 2
    assert capsys.readouterr().err == "yopo: epochs: got 0, expected a whole number of at least 1\n"
