# SPDX-License-Identifier: MIT
"""bench/tune_triton.py as far as it goes without a GPU: what it would try, and what becomes of its choice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from yopo_ext.backends.triton_backend import why_not_triton
from yopo_ext.backends.triton_kernels import configurations
from yopo_ext.backends.triton_kernels.configurations import Configuration

if why_not_triton() is not None:
    pytest.skip(str(why_not_triton()), allow_module_level=True)

import tune_triton
from triton_tilings import Tilings


@pytest.mark.parametrize("row", configurations.TABLE)
def test_every_row_has_tilings_to_try_and_the_present_one_comes_first(row):
    before = {name: dict(rows) for name, rows in configurations.TABLE.items()}
    tried = list(Tilings(row, 90, "meta").different(132))
    assert tried[0][0] == configurations.configuration(*row.split(), 90)
    assert len(tried) > 20
    assert len({tiles for tiles, _ in tried}) == len(tried)
    assert before == configurations.TABLE == configurations.table()


def test_the_choice_is_told_for_every_case():
    lines = tune_triton.choice(90)
    assert any(line.startswith("cifar-linear, high: linear_ascent, ") for line in lines)
    assert any(line.startswith("imagenet-stem, high: declined, a window of 3 × 7 × 7") for line in lines)


def test_dry_run_compiles_for_the_architecture_asked_for(monkeypatch, capsys):
    arguments = ["tune_triton.py", "--dry-run", "--capability", "80", "--limit", "2", "linear high"]
    monkeypatch.setattr(sys, "argv", arguments)
    tune_triton.main()
    assert "linear high, sm_80: 2 tilings compiled, 2 fit, 2 of them without spills" in capsys.readouterr().out


def test_the_fastest_is_written_where_the_backend_reads_it(monkeypatch, tmp_path):
    def milliseconds(launches, _device) -> float | None:
        (launch,) = launches
        return None if launch.stages > 2 else 1.0 / launch.stages + launch.warps

    file = tmp_path / "tuned.json"
    monkeypatch.setattr(tune_triton, "milliseconds", milliseconds)
    monkeypatch.setattr(sys, "argv", ["tune_triton.py", str(file), "--workers", "1", "linear high"])
    for name, value in {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "get_device_capability": lambda device: (9, 0),
        "get_device_properties": lambda device: SimpleNamespace(multi_processor_count=132),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    on_meta = Tilings.__init__
    monkeypatch.setattr(Tilings, "__init__", lambda self, row, capability, _: on_meta(self, row, capability, "meta"))
    tune_triton.main()

    assert list(json.loads(Path(file).read_text())) == ["linear high"]
    monkeypatch.setenv("YOPO_EXT_TRITON_CONFIGURATIONS", str(file))
    configurations.table.cache_clear()
    try:
        best = configurations.configuration("linear", "high", 90)
        assert isinstance(best, Configuration)
        assert (best.warps, best.stages) == (4, 2)
    finally:
        configurations.table.cache_clear()
