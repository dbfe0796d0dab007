# SPDX-License-Identifier: MIT
"""The kernel for patches that do not overlap (csrc/cuda/patches.cuh): one matrix product whose elements are pixels."""

from __future__ import annotations

import pytest
import torch
from differential import Shape, make_problem
from high_precision import LAYOUTS, ascend, assert_gradient_agrees, assert_steps_agree, assert_steps_compose, path_of


def cut(batch: int, channels: int, rows: int, columns: int, out_channels: int, *kernel: int) -> Shape:
    """rows x columns patches."""
    height, width = rows * kernel[0], columns * kernel[1]
    return Shape(batch, channels, height, width, out_channels, kernel=kernel, stride=kernel, padding=(0, 0))


SHAPES = [
    cut(1, 3, 2, 2, 16, 16, 16),  # six tiles of taps, and of four patches
    cut(2, 3, 4, 4, 40, 4, 4),  # channels that fill no slab
    cut(2, 3, 9, 8, 8, 4, 4),  # a second tile of patches
    cut(3, 1, 7, 7, 24, 6, 8),  # images with no multiple of four patches, in one tile and in the next
    cut(9, 4, 1, 1, 72, 3, 5),  # taps and lines without alignment
    cut(2, 2, 3, 5, 16, 7, 7),
    cut(1, 16, 2, 3, 16, 2, 2),
]


def linear(shape: Shape = SHAPES[1], **options):
    return make_problem(shape, activation="identity", **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
def test_gradient_on_every_shape_and_layout(backend, shape, p_dtype, channels_last):
    problem = linear(shape, p_dtype=p_dtype, channels_last=channels_last, normalize=True)
    assert_gradient_agrees(problem, backend, "patches")


@pytest.mark.parametrize("shape", SHAPES[1:5], ids=str)
def test_a_few_steps_agree_with_the_reference(backend, shape):
    problem = linear(shape, normalize=True)
    problem.adversary = {
        name: [first + 0.01 * c for c in range(shape.channels)] for name, first in (("eps", 0.02), ("alpha", -0.01))
    }
    bounds = ([0.1] * shape.channels, [0.95 - 0.01 * c for c in range(shape.channels)])
    assert_steps_agree(problem, backend, bounds, 0.7)


@pytest.mark.parametrize("value", [1e12, torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize(("p_dtype", "channels_last"), [(torch.float32, False), (torch.bfloat16, True)])
def test_a_hard_number_touches_one_patch(backend, value, p_dtype, channels_last):
    problem = linear(p_dtype=p_dtype, channels_last=channels_last)
    clean = ascend(problem, backend)
    problem.p[1, 7, 2, 3] = value
    eta = ascend(problem, backend)
    touched = torch.zeros_like(eta, dtype=torch.bool)
    touched[1, :, 8:12, 12:16] = True
    assert torch.equal(eta[~touched], clean[~touched])
    assert eta.isfinite().all()
    start = ascend(problem, backend, steps=0)
    moved = (eta - start)[1, :, 8:12, 12:16]
    if value != value:  # no sign, no step
        assert not moved.any()
    else:
        toward = problem.weight[7].sign() * torch.tensor(value).sign()
        assert ((moved == 0) | (moved.sign() == toward)).all()
        assert (moved != 0).float().mean() > (0.9 if value == 1e12 or p_dtype == torch.float32 else 0)


@pytest.mark.parametrize("kind", ["nan", "infinite"])
def test_hard_images(backend, kind):
    problem = linear()
    if kind == "nan":
        problem.x[0, 1, 4, 4] = problem.eta[1, 2, 15, 0] = torch.nan
    else:
        problem.eta[0, 2, 15, 0], problem.eta[1, 1, 0, 15] = torch.inf, -torch.inf
    eta = ascend(problem, backend)
    assert eta.isnan().nonzero().tolist() == ([[0, 1, 4, 4], [1, 2, 15, 0]] if kind == "nan" else [])
    assert (eta.nan_to_num().abs() <= torch.tensor(8 / 255)).all()
    assert ((problem.x + eta).nan_to_num() >= 0).all()
    assert ((problem.x + eta).nan_to_num() <= 1).all()
    unboxed = ascend(problem, backend, bounds=None)
    assert unboxed.isnan().nonzero().tolist() == ([[1, 2, 15, 0]] if kind == "nan" else [])


@pytest.mark.parametrize("direction", ["sign", "gradient"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_steps_compose_bit_for_bit(backend, direction, bounds):
    problem = linear(normalize=True)
    assert_steps_compose(problem, backend, direction=direction, bounds=bounds)


@pytest.mark.parametrize("name", ["x", "eta", "both"])
@pytest.mark.parametrize("form", ["channels_last", "every second", "shifted"])
def test_images_in_any_strides(backend, name, form):
    problem = linear()
    expected = ascend(problem, backend)
    for which in ("x", "eta") if name == "both" else (name,):
        tensor = getattr(problem, which)
        if form == "channels_last":
            tensor = tensor.to(memory_format=torch.channels_last)
        elif form == "every second":
            tensor = torch.zeros(*tensor.shape[:3], 2 * tensor.shape[3])[..., ::2].copy_(tensor)
        else:
            tensor = torch.zeros(tensor.numel() + 1)[1:].view_as(tensor).copy_(tensor)
        setattr(problem, which, tensor)
    assert torch.equal(ascend(problem, backend), expected)


def test_a_co_state_with_gaps_between_images(backend):
    """As of tokens of which the first is no patch."""
    problem = linear(SHAPES[3])
    batch, channels, rows, columns = problem.p.shape
    expected = ascend(problem, backend)
    tokens = torch.full((batch, rows * columns + 1, channels), torch.nan)
    view = tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
    problem.p = view.copy_(problem.p)
    assert path_of(problem) == "patches"
    assert torch.equal(ascend(problem, backend), expected)


def test_weights_without_alignment(backend):
    problem = linear()
    expected = ascend(problem, backend)
    problem.weight = torch.zeros(problem.weight.numel() + 1)[1:].view_as(problem.weight).copy_(problem.weight)
    assert torch.equal(ascend(problem, backend), expected)


def test_images_do_not_meet(backend):
    problem = linear(SHAPES[3])
    at_once = ascend(problem, backend)
    for name in ("x", "eta", "p"):
        setattr(problem, name, getattr(problem, name)[2:])
    assert torch.equal(ascend(problem, backend), at_once[2:])


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        (Shape(1, 3, 18, 16, 16, kernel=(4, 4), stride=(4, 4), padding=(0, 0)), "linear_mma"),  # a rest of two rows
        (Shape(1, 3, 16, 16, 16, kernel=(4, 4), stride=(4, 3), padding=(0, 0)), "linear_mma"),
        (Shape(1, 3, 16, 16, 16, kernel=(4, 4), stride=(4, 4), padding=(2, 2)), "linear_mma"),
        (Shape(1, 3, 16, 16, 16, kernel=(4, 4), stride=(4, 4), padding=(0, 0), dilation=(1, 1)), "patches"),
        (Shape(1, 2, 16, 16, 16, kernel=(4, 4), stride=(4, 4), padding=(0, 0)), "linear_mma"),  # 32 taps: one round
        (Shape(1, 3, 16, 16, 12, kernel=(4, 4), stride=(4, 4), padding=(0, 0)), "patches"),
    ],
    ids=str,
)
def test_what_else_takes_the_general_kernels(backend, shape, path):
    assert_gradient_agrees(linear(shape), backend, path)
    assert path_of(linear(shape), "highest") in ("linear_fma", "tiles")
    assert path_of(linear(shape), norm="l2") in ("linear_mma", "tiles")
