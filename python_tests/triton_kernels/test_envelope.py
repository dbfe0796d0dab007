# SPDX-License-Identifier: MIT
"""What the Triton backend takes, what it declines, and the reasons it gives. No kernel runs here."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import yopo_ext
from yopo_ext import reading
from yopo_ext.backends import triton_backend
from yopo_ext.backends.call import Layer
from yopo_ext.backends.triton_kernels import configurations, geometry


def refusal(*shape: int, kernel=(3, 3), stride=1, padding=1, dilation=1) -> str | None:
    images = torch.empty(shape)
    weight = torch.empty(16, shape[1], *kernel)
    pairs = [[value, value] for value in (stride, padding, dilation)]
    return geometry.refusal(images, Layer(weight, None, *pairs, None, None))


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("size", [1, 7, 28, 32, 64, 96, 224])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_three_by_three_layers_are_taken(channels, size, padding):
    if size + 2 * padding >= 3:
        assert refusal(2, channels, size, size, padding=padding) is None


@pytest.mark.parametrize(
    "options", [{"kernel": (5, 5), "padding": 2}, {"stride": 2}, {"dilation": 2}, {"kernel": (1, 1)}]
)
def test_small_kernels_strides_and_dilation_are_taken(options):
    assert refusal(2, 3, 32, 32, **options) is None


def test_what_does_not_fit_is_declined_with_the_reason():
    assert "the images have 9" in refusal(2, 9, 32, 32)
    assert "3 × 7 × 7 entries" in refusal(2, 3, 224, 224, kernel=(7, 7), stride=2, padding=3)
    assert "2 rows of 300 pixels" in refusal(2, 3, 300, 300)


def call(dtype=torch.float32):
    x = torch.empty(2, 3, 8, 8, dtype=dtype)
    return reading.inner_ascent(
        x, x, torch.empty(2, 4, 8, 8, dtype=dtype), torch.empty(4, 3, 3, 3, dtype=dtype), eps=0.1, alpha=0.1, steps=1,
        padding=1, activation=nn.ReLU(),
    )  # fmt: skip


def test_float64_is_declined():
    assert "torch.float64" in triton_backend.can_run(call(torch.float64))


def test_without_triton_the_real_reason_is_kept(monkeypatch):
    reason = "triton cannot be imported (ModuleNotFoundError: No module named 'triton')"
    monkeypatch.setattr(triton_backend, "_load", lambda: (None, reason))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert triton_backend.can_run(call()) == reason


def test_yopo_ext_works_where_triton_is_missing():
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, yopo_ext\n"
        "t = torch.rand(1, 3, 5, 5)\n"
        "args = (t, t - t, torch.rand(1, 2, 3, 3), torch.rand(2, 3, 3, 3))\n"
        "from yopo_ext.build_info import describe\n"
        "print(describe())\n"
        "print(yopo_ext.inner_ascent(*args, eps=0.1, alpha=0.1, steps=1).shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "triton: none, triton cannot be imported" in result.stdout
    assert "torch.Size([1, 3, 5, 5])" in result.stdout


@pytest.mark.skipif(triton_backend.why_not_triton() is not None, reason=str(triton_backend.why_not_triton()))
def test_cpu_tensors_are_declined_outside_the_interpreter():
    if triton_backend.interpreted():
        pytest.skip("the interpreter takes CPU tensors")
    assert "TRITON_INTERPRET=1 was not set" in triton_backend.can_run(call())
    assert "TRITON_INTERPRET" in yopo_ext.explain(*call()[:3], call().layer.weight, eps=0.1, alpha=0.1, steps=1,
                                                  padding=1).others["triton"]  # fmt: skip


@pytest.mark.parametrize(("capability", "row"), [(80, 80), (86, 86), (89, 86), (90, 90), (103, 100), (120, 100)])
def test_a_gpu_takes_the_newest_row_that_is_not_newer_than_itself(capability, row):
    for name, rows in configurations.TABLE.items():
        assert configurations.configuration(*name.split(), capability) == rows[row]


def test_tuned_tiles_replace_the_tables(monkeypatch, tmp_path):
    file = tmp_path / "tuned.json"
    file.write_text('{"linear high": {"90": {"pixels": 32, "k_block": 16, "warps": 2, "stages": 1, "programs": 7}}}')
    monkeypatch.setenv("YOPO_EXT_TRITON_CONFIGURATIONS", str(file))
    configurations.table.cache_clear()
    try:
        assert configurations.configuration("linear", "high", 90).programs == 7
        assert configurations.configuration("linear", "high", 80) == configurations.TABLE["linear high"][80]
    finally:
        configurations.table.cache_clear()
