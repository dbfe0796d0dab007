# SPDX-License-Identifier: MIT
"""Tensor cores where an image's data does not fit in shared memory: what lies in the workspace instead must not change
a bit of the result. Blocks with less shared memory are simulated on the host; GPUs have problems of that size."""

from __future__ import annotations

import cuda_on_host
import pytest
import torch
from differential import Shape, gradient_error_bound, make_problem, reference_gradient
from high_precision import LAYOUTS, ascend, assert_gradient_agrees, gradient, path_of, plan_of

from yopo_ext.activation import NAMES

SHAPES = [
    Shape(3, 3, 12, 12, 16),  # more images than the blocks of the host's device
    Shape(1, 1, 26, 28, 32, padding=(0, 0)),
    Shape(1, 3, 9, 13, 24),  # planes without alignment
    Shape(1, 2, 10, 10, 96),
    Shape(1, 4, 12, 8, 40),
    Shape(1, 3, 14, 12, 24, kernel=(5, 5), padding=(1, 2)),
    Shape(1, 3, 16, 15, 16, stride=(2, 2)),
]
WHY_NOT = cuda_on_host.why_not("cuda_on_host")
on_host = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
#: The share of the workspace that shared memory has room for: with none g too lies there, with some only part of p.
SPARE = (0, 0.8)


def squeeze(monkeypatch: pytest.MonkeyPatch, problem, spare: float) -> None:
    """Gives the host's device hardly more shared memory than tensor cores need for the problem."""
    cuda_on_host.register("cuda_on_host")
    for size in range(8192, 227 * 1024, 256):
        monkeypatch.setenv("SIMT_SHARED_BYTES", str(size))
        workspace, path = plan_of(problem)
        if path == "streamed":
            break
    slot = workspace // min(len(problem.x), 2)
    monkeypatch.setenv("SIMT_SHARED_BYTES", str(size + int(spare * slot)))
    assert path_of(problem) == "streamed"
    cuda_on_host.forget_plans()


def assert_nothing_changes(monkeypatch: pytest.MonkeyPatch, problem, **options) -> None:
    cuda_on_host.register("cuda_on_host")
    assert path_of(problem) == "resident"
    resident = ascend(problem, "cuda_on_host", steps=2, **options)
    for spare in SPARE:
        squeeze(monkeypatch, problem, spare)
        assert torch.equal(ascend(problem, "cuda_on_host", steps=2, **options), resident)


@on_host
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_every_shape_to_the_bit(monkeypatch, shape, activation):
    assert_nothing_changes(monkeypatch, make_problem(shape, activation=activation, normalize=True))


@on_host
@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
@pytest.mark.parametrize("channels", [40, 72])
def test_every_layout_of_p_to_the_bit(monkeypatch, p_dtype, channels_last, channels):
    shape = Shape(1, 3, 12, 12, channels)
    assert_nothing_changes(monkeypatch, make_problem(shape, p_dtype=p_dtype, channels_last=channels_last))


@on_host
@pytest.mark.parametrize("activation", [name for name in NAMES if name != "identity"])
def test_every_activation_to_the_bit(monkeypatch, activation):
    assert_nothing_changes(monkeypatch, make_problem(SHAPES[0], activation=activation))


@on_host
@pytest.mark.parametrize(("norm", "direction"), [("linf", "gradient"), ("l2", "sign"), ("l2", "gradient")])
def test_every_norm_and_direction_to_the_bit(monkeypatch, norm, direction):
    problem = make_problem(SHAPES[0], activation="gelu", eps=0.5, alpha=0.05)
    assert_nothing_changes(monkeypatch, problem, norm=norm, direction=direction)


@on_host
@pytest.mark.parametrize("spare", SPARE)
@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
def test_gradient_within_its_bound(monkeypatch, p_dtype, channels_last, spare):
    problem = make_problem(SHAPES[0], activation="silu", p_dtype=p_dtype, channels_last=channels_last, normalize=True)
    squeeze(monkeypatch, problem, spare)
    assert_gradient_agrees(problem, "cuda_on_host", "streamed")


@on_host
@pytest.mark.parametrize("spare", SPARE)
@pytest.mark.parametrize("value", [1e6, torch.inf, torch.nan])
def test_an_outlier_in_the_last_row_spares_the_others(monkeypatch, value, spare):
    problem = make_problem(SHAPES[0])
    problem.p[0, 5, 11, 3] = value
    problem.eta = torch.zeros_like(problem.x)
    squeeze(monkeypatch, problem, spare)
    error = (gradient(problem, "cuda_on_host", "high") - reference_gradient(problem)).abs()
    bound = gradient_error_bound(problem, 10) + 1e-6
    assert (error[1:] <= bound[1:]).all()
    assert (error[0, :, :6] <= bound[0, :, :6]).all()  # rows that no product with the outlier's group reaches
    eta = ascend(problem, "cuda_on_host", steps=2)
    assert eta.isfinite().all()
    assert (eta.abs() <= torch.tensor(8 / 255)).all()


@on_host
@pytest.mark.parametrize(
    ("architecture", "shape", "path"),
    [
        (90, Shape(128, 3, 32, 32, 64), "fixed"),
        (90, Shape(128, 3, 32, 31, 64), "resident"),
        (90, Shape(128, 3, 32, 32, 128), "streamed"),
        (100, Shape(128, 3, 64, 64, 128), "streamed"),
        (80, Shape(128, 3, 32, 32, 16), "fixed"),
        (80, Shape(128, 3, 32, 31, 16), "resident"),
        (80, Shape(128, 3, 32, 32, 64), "streamed"),
        (80, Shape(128, 3, 64, 64, 128), "streamed"),
        (80, Shape(128, 3, 32, 32, 64, kernel=(5, 5), padding=(2, 2)), "streamed"),
        (86, Shape(128, 3, 32, 32, 64), "streamed"),
        (89, Shape(128, 3, 32, 32, 128), "streamed"),
        (120, Shape(128, 3, 64, 64, 128), "streamed"),
        (120, Shape(128, 1, 28, 28, 32, padding=(0, 0)), "resident"),
        (75, Shape(128, 3, 32, 32, 64), "image"),
    ],
    ids=str,
)
def test_the_tensor_cores_of_every_architecture_are_used(monkeypatch, architecture, shape, path):
    cuda_on_host.register("cuda_on_host")
    monkeypatch.setenv("SIMT_ARCHITECTURE", str(architecture))
    problem = make_problem(shape)
    workspace, chosen = plan_of(problem)
    assert chosen == path
    if path == "streamed":  # a slot for each block that can run: two of them here
        assert workspace <= 2 * (2 * problem.p[0].numel() + 12 * problem.x[0].numel() + 4096)
    if path in ("fixed", "resident"):
        assert workspace == 0


def test_a_large_image_on_a_gpu():
    if (reason := cuda_on_host.why_not("cuda_on_gpu")) is not None:
        pytest.skip(reason)
    cuda_on_host.register("cuda_on_gpu")
    problem = make_problem(Shape(3, 3, 64, 64, 128), activation="silu", normalize=True)
    assert_gradient_agrees(problem, "cuda_on_gpu", "streamed")
