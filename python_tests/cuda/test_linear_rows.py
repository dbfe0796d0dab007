# SPDX-License-Identifier: MIT
"""The linear kernel that is compiled for one shape (csrc/cuda/linear_rows.cuh): within its bound of float64 for every
type and layout, of one mind with the general kernel on hard inputs, and left alone by everything else."""

from __future__ import annotations

import cuda_on_host
import pytest
import torch
from differential import Shape, gradient_error_bound, make_problem, reference_gradient
from high_precision import LAYOUTS, ascend, assert_gradient_agrees, assert_steps_agree, assert_steps_compose, path_of

CIFAR = Shape(2, 3, 32, 32, 64)
SMALL = Shape(1, 3, 32, 32, 16)


def linear(shape: Shape = SMALL, **options):
    return make_problem(shape, activation="identity", **options)


def with_gaps(p: torch.Tensor) -> torch.Tensor:
    """The same co-state in a larger tensor, which only the general kernel reads."""
    batch, channels, height, width = p.shape
    if p.stride(1) == 1:
        room = torch.zeros(batch, height, width, channels + 16, dtype=p.dtype).permute(0, 3, 1, 2)[:, :channels]
    else:
        room = torch.zeros(batch, channels, height + 1, width, dtype=p.dtype)[:, :, :height]
    return room.copy_(p)


def assert_of_one_mind(problem, backend: str, **options) -> None:
    """With the general kernel: the same pixels wherever the sign of g is certain; along g itself, as far as g goes."""
    assert path_of(problem) == "linear_rows"
    rows = ascend(problem, backend, **options)
    g, bound = reference_gradient(problem), gradient_error_bound(problem, 10)
    problem.p = with_gaps(problem.p)
    assert path_of(problem) == "linear_mma"
    general = ascend(problem, backend, **options)
    certain = ~(g.abs() <= bound)  # where either is no number both kernels must say so
    assert torch.equal(rows.isnan(), general.isnan())
    tolerance = 0 if options.get("direction", "sign") == "sign" else 1e-3
    torch.testing.assert_close(rows[certain], general[certain], rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
@pytest.mark.parametrize("channels", [16, 48, 64])
def test_gradient_with_every_layout_of_p(backend, p_dtype, channels_last, channels):
    shape = Shape(2, 3, 32, 32, channels)
    problem = linear(shape, p_dtype=p_dtype, channels_last=channels_last, normalize=True)
    assert_gradient_agrees(problem, backend, "linear_rows")


@pytest.mark.parametrize(("p_dtype", "channels_last"), LAYOUTS)
def test_a_few_steps_agree_with_the_reference(backend, p_dtype, channels_last):
    problem = linear(p_dtype=p_dtype, channels_last=channels_last, normalize=True)
    problem.adversary = {"eps": [0.02, 0.05, 0.1], "alpha": [0.01, -0.03, 0.04]}
    bounds = ([0.0, 0.1, 0.2], [1.0, 0.9, 0.95])
    assert_steps_agree(problem, backend, bounds, 0.75)


@pytest.mark.parametrize(
    ("place", "value"),
    [((0, 5, 0, 0), 1e12), ((0, 5, 31, 31), 1e12), ((0, 15, 7, 31), torch.inf), ((0, 0, 16, 0), -torch.inf),
     ((0, 3, 3, 8), torch.nan), ((0, 9, 28, 17), torch.nan)],
)  # fmt: skip
@pytest.mark.parametrize(("p_dtype", "channels_last"), [(torch.float32, False), (torch.bfloat16, True)])
def test_hard_co_states(backend, place, value, p_dtype, channels_last):
    problem = linear(p_dtype=p_dtype, channels_last=channels_last)
    problem.p[place] = value
    clean = ascend(linear(p_dtype=p_dtype, channels_last=channels_last), backend)
    eta = ascend(problem, backend)
    touched = torch.zeros_like(eta, dtype=torch.bool)
    _, _, y, x = place
    touched[0, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    assert torch.equal(eta[~touched], clean[~touched])
    assert eta.isfinite().all()
    if value != value:  # no sign, no step
        assert torch.equal(eta[touched], ascend(problem, backend, steps=0)[touched])
    assert_of_one_mind(problem, backend)


@pytest.mark.parametrize("kind", ["black", "white", "nan", "infinite", "zero rows", "zero channels", "zero weights"])
def test_hard_images_and_weights(backend, kind):
    problem = linear(bias=False)
    if kind in ("black", "white"):
        problem.x.fill_(kind == "white")
    elif kind == "nan":
        problem.x[0, 1, 4, 4] = problem.eta[0, 2, 31, 0] = torch.nan
    elif kind == "infinite":
        problem.eta[0, 2, 31, 0], problem.eta[0, 1, 0, 31] = torch.inf, -torch.inf
    elif kind == "zero rows":
        problem.p[:, :, 8:16] = 0
    elif kind == "zero channels":
        problem.p[:, ::2] = 0
    else:
        problem.weight.zero_()
    eta = ascend(problem, backend)
    if kind == "nan":
        assert eta.isnan().nonzero().tolist() == [[0, 1, 4, 4], [0, 2, 31, 0]]
    else:
        assert eta.isfinite().all()
    assert (eta.nan_to_num().abs() <= torch.tensor(8 / 255)).all()
    if kind == "zero rows":
        still = ascend(problem, backend, steps=0)
        assert torch.equal(eta[:, :, 9:15], still[:, :, 9:15])
    assert_of_one_mind(problem, backend)


@pytest.mark.parametrize("direction", ["sign", "gradient"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_steps_compose_bit_for_bit(backend, direction, bounds):
    problem = linear(normalize=True)
    assert_steps_compose(problem, backend, direction=direction, bounds=bounds)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_step_along_a_gradient_that_is_no_number(backend, value):
    problem = linear()
    problem.p[0, 2, 5, 5] = value
    assert_of_one_mind(problem, backend, direction="gradient", steps=2)


@pytest.mark.parametrize("name", ["x", "eta"])
@pytest.mark.parametrize("form", ["channels_last", "columns first", "every second"])
def test_images_in_any_strides(backend, name, form):
    """Both are read as they lie, and eta's strides are the result's."""
    problem = linear()
    expected = ascend(problem, backend)
    tensor = getattr(problem, name)
    if form == "channels_last":
        tensor = tensor.to(memory_format=torch.channels_last)
    elif form == "columns first":
        tensor = tensor.transpose(2, 3).contiguous().transpose(2, 3)
    else:
        room = torch.zeros(*tensor.shape[:3], 2 * tensor.shape[3])
        tensor = room[..., ::2].copy_(tensor)
    setattr(problem, name, tensor)
    assert torch.equal(ascend(problem, backend), expected)


@pytest.mark.parametrize("image", ["first", "last"])
def test_images_do_not_meet(backend, image):
    """A batch of three is three batches of one."""
    problem = linear(Shape(3, 3, 32, 32, 16))
    at_once = ascend(problem, backend)
    alone = 0 if image == "first" else 2
    for name in ("x", "eta", "p"):
        setattr(problem, name, getattr(problem, name)[alone : alone + 1])
    assert path_of(problem) == "linear_rows"
    assert torch.equal(ascend(problem, backend), at_once[alone : alone + 1])


@pytest.mark.parametrize(
    "shape",
    [Shape(1, 3, 31, 33, 16), Shape(2, 1, 32, 32, 16), Shape(1, 2, 32, 32, 16), Shape(1, 4, 32, 32, 16),
     Shape(1, 3, 32, 32, 24), Shape(1, 3, 32, 32, 16, padding=(0, 0)), Shape(1, 3, 32, 32, 16, padding=(2, 2)),
     Shape(1, 3, 32, 32, 16, kernel=(5, 5), padding=(2, 2)), Shape(1, 3, 32, 32, 16, stride=(2, 2)),
     Shape(1, 3, 32, 32, 16, padding=(2, 2), dilation=(2, 2)), Shape(1, 3, 32, 36, 16), Shape(1, 3, 36, 32, 16)],
    ids=str,
)  # fmt: skip
def test_shapes_beside_it_take_the_general_kernel(backend, shape):
    assert_gradient_agrees(linear(shape), backend, "linear_mma")


def test_what_else_takes_the_general_kernels(backend):
    problem = linear()
    assert path_of(problem) == "linear_rows"
    assert path_of(problem, norm="l2") == "linear_mma"
    assert path_of(problem, "highest") == "linear_fma"
    problem.p = with_gaps(problem.p)
    assert path_of(problem) == "linear_mma"
    shifted = torch.zeros(problem.p.numel() + 1)[1:].view_as(problem.p)
    problem.p = shifted.copy_(problem.p)
    assert_gradient_agrees(problem, backend, "linear_mma")


@pytest.mark.parametrize(("architecture", "path"), [(75, "tiles"), (80, "linear_rows"), (89, "linear_rows")])
def test_every_architecture_with_tensor_cores_runs_it(monkeypatch, architecture, path):
    if (reason := cuda_on_host.why_not("cuda_on_host")) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("SIMT_ARCHITECTURE", str(architecture))
    assert path_of(linear(CIFAR)) == path
