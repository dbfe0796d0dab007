# SPDX-License-Identifier: MIT
"""The kernels compiled for one geometry (csrc/cuda/fixed_shape.h): which problems they take, g within its bound, hard
inputs against the reference, and no dependence on the order of threads or on an image's place in its block."""

from __future__ import annotations

from dataclasses import replace

import cuda_on_host
import pytest
import torch
from differential import Shape, gradient_error_bound, make_problem, reference_gradient
from high_precision import ascend, assert_certain_pixels_agree, assert_gradient_agrees, gradient, path_of
from torch import nn
from torch.nn import functional as F

import yopo_ext
from yopo_ext import reference
from yopo_ext.activation import NAMES

CIFAR, WIDE, MNIST = Shape(1, 3, 32, 32, 64), Shape(1, 3, 32, 32, 16), Shape(1, 1, 28, 28, 32, padding=(0, 0))
TABLE = [CIFAR, WIDE, MNIST]
CHEAP = [WIDE, MNIST]
#: How p may lie, as make_problem() takes it; the first is what the others are compared with.
LAYOUTS = {
    "planes": {},
    "pixels": {"channels_last": True},
    "bfloat16 pixels": {"channels_last": True, "p_dtype": torch.bfloat16},
    "float16 pixels": {"channels_last": True, "p_dtype": torch.float16},
}
SMOOTH = [name for name in NAMES if name not in ("identity", "relu", "leaky_relu", "selu")]
WHY_NOT = cuda_on_host.why_not("cuda_on_host")
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(autouse=True)
def backend() -> str:
    cuda_on_host.register("cuda_on_host")
    return "cuda_on_host"


@pytest.mark.parametrize("shape", TABLE, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_table_is_taken(shape, layout):
    for options in ({}, {"bias": False}, {"normalize": True}):
        assert path_of(make_problem(shape, **LAYOUTS[layout], **options)) == "fixed"


def test_explain_names_the_kernel(backend):
    def explain(problem, **options):
        return yopo_ext.explain(
            *problem.tensors, **problem.adversary, **problem.layer, steps=1, backend=backend, **options
        )

    problem = make_problem(CIFAR)
    assert "runs on: cuda_on_host (fixed: tensor cores, compiled for this geometry)" in str(
        explain(problem, precision="high")
    )
    assert explain(problem, precision="high", norm="l2").kernel.startswith("resident: ")
    assert explain(problem, precision="highest").kernel.startswith("image: ")
    assert "3 -> 64 channels, 3 x 3, padding 1, on 32 x 32" in cuda_on_host.host_module().cuda_geometries()


@pytest.mark.parametrize(
    "other",
    [
        {"height": 31}, {"width": 30}, {"channels": 2}, {"out_channels": 24}, {"kernel": (5, 5)}, {"stride": (2, 1)},
        {"padding": (1, 0)}, {"padding": (2, 2)}, {"dilation": (1, 2)},
    ],
    ids=str,
)  # fmt: skip
def test_another_geometry_is_not(other):
    assert path_of(make_problem(replace(WIDE, **other))) != "fixed"


def test_a_shifted_p_is_planned_anew(backend):
    """After a call alike in all but where p lies: the kernels that then run need memory which these do not."""
    problem = make_problem(WIDE)
    shifted = torch.cat([torch.zeros(1), problem.p.flatten()])[1:].view(problem.p.shape)
    options = {**problem.adversary, **problem.layer, "steps": 2, "backend": backend, "precision": "high"}
    x, eta, p, *layer = problem.tensors
    expected = [yopo_ext.inner_ascent(x, eta, p.clone(), *layer, **options) for _ in range(2)]
    after = [yopo_ext.inner_ascent(x, eta, shifted, *layer, **options) for _ in range(2)]
    assert torch.equal(*expected)
    assert torch.equal(*after)
    assert (after[0] != expected[0]).float().mean() < 0.01  # signs of the smallest gradients


def test_p_with_gaps_or_shifted_is_not():
    problem = make_problem(WIDE)
    for p in (
        torch.randn(1, 16, 32, 33)[..., :32],
        torch.randn(1, 32, 32, 32)[:, ::2],
        torch.randn(1, 16, 32, 32).transpose(2, 3),
        torch.randn(16 * 32 * 32 + 1)[1:].view(1, 16, 32, 32),
        torch.randn(1, 16, 32, 32).bfloat16(),
    ):
        problem.p = p
        assert path_of(problem) != "fixed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pixels_with_gaps_or_shifted_are_not(dtype):
    problem = make_problem(WIDE)
    for pixels in (
        torch.zeros(1, 32, 32, 32, dtype=dtype)[..., :16],
        torch.zeros(1, 32, 33, 16, dtype=dtype)[:, :, :32],
        torch.zeros(1, 32, 32, 16, dtype=dtype).transpose(1, 2),
        torch.zeros(32 * 32 * 16 + 1, dtype=dtype)[1:].view(1, 32, 32, 16),
    ):
        problem.p = pixels.permute(0, 3, 1, 2)
        assert path_of(problem) != "fixed"


@pytest.mark.parametrize("shape", TABLE, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_within_its_bound(backend, shape, normalize, layout):
    problem = make_problem(replace(shape, batch=2), normalize=normalize, bias=normalize, **LAYOUTS[layout])
    assert_gradient_agrees(problem, backend, "fixed", smooth=False)


@pytest.mark.parametrize("shape", TABLE, ids=str)
@pytest.mark.parametrize(("layout", "unit"), [
    ("pixels", 2.0**100), ("bfloat16 pixels", 2.0**-130), ("float16 pixels", 1.0), ("float16 pixels", 2.0**-24),
])  # fmt: skip
def test_every_layout_gives_the_same_bits(backend, shape, layout, unit):
    """Where sums are exact in any order: p and the weights are small integers, in units down to the subnormal ones.
    The images of p lie apart."""
    problem = make_problem(replace(shape, batch=6), normalize=True, **LAYOUTS[layout])
    draw = torch.Generator().manual_seed(1)
    integers = torch.randint(-8, 9, (3, *problem.p.shape[1:]), generator=draw).float()
    problem.weight = torch.randint(-4, 5, problem.weight.shape, generator=draw).float()
    problem.x, problem.eta = problem.x[:3], problem.eta[:3]
    problem.p = problem.p[::2].copy_(integers * unit)
    assert path_of(problem) == "fixed"
    eta = ascend(problem, backend, steps=2)
    problem.p = integers
    assert torch.equal(eta, ascend(problem, backend, steps=2))


@pytest.mark.parametrize("shape", CHEAP, ids=str)
@pytest.mark.parametrize("activation", [*SMOOTH, nn.GELU("tanh"), "leaky_relu", "selu", nn.Softplus(2.0, 3.0)], ids=str)
def test_gradient_with_every_activation(backend, shape, activation):
    problem = make_problem(replace(shape, batch=3), activation=activation, normalize=True)
    assert_gradient_agrees(problem, backend, "fixed", smooth=activation not in ("leaky_relu", "selu"))


@pytest.mark.parametrize("activation", [*SMOOTH, nn.GELU("tanh")], ids=str)
def test_units_of_any_size(backend, activation):
    """act' far out is what it is, and neither NaN nor a rounding of 1 - 1."""
    problem = make_problem(replace(MNIST, batch=5), activation=activation)
    problem.x = (problem.x - 0.5) * torch.tensor([1e-3, 1e2, 1e8, 1e14, 1e19]).view(-1, 1, 1, 1)
    problem.eta, problem.bias = torch.zeros_like(problem.x), None
    options = {**problem.layer, "eps": 1e3, "alpha": 1.0, "steps": 1, "bounds": None, "direction": "gradient"}
    g = yopo_ext.inner_ascent(*problem.tensors, **options, precision="high", backend=backend)
    assert g.isfinite().all()
    exact = reference_gradient(problem)
    assert ((g - exact).abs() <= gradient_error_bound(problem, 10) + 1e-6).all()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "silu", "gelu", nn.GELU("tanh"), "elu"], ids=str)
def test_saturated_units_keep_their_slopes(backend, activation):
    """Where all units are far below 0 their small slopes are all there is."""
    problem = make_problem(WIDE, activation=activation)
    problem.weight, problem.bias = problem.weight * 0.01, torch.full((16,), -4.0)
    problem.eta = torch.zeros_like(problem.x)
    exact = reference_gradient(problem)
    error = (gradient(problem, backend, "high") - exact).square().mean().sqrt()
    assert error < 1.5e-2 * exact.square().mean().sqrt()


@pytest.mark.parametrize("shape", TABLE, ids=str)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "planes"])
def test_gradient_of_a_smooth_layer_with_every_layout(backend, shape, layout):
    problem = make_problem(replace(shape, batch=2), activation="silu", normalize=True, **LAYOUTS[layout])
    assert_gradient_agrees(problem, backend, "fixed")


@pytest.mark.parametrize("shape", CHEAP, ids=str)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_a_step_along_the_sign(backend, shape, bounds):
    """Exact wherever g is certain, with a budget of its own for each channel."""
    problem = make_problem(replace(shape, batch=3), normalize=True)
    channels = range(shape.channels)
    problem.adversary = {"eps": [0.02 + 0.01 * c for c in channels], "alpha": [0.01 - 0.007 * c for c in channels]}
    eta = ascend(problem, backend, steps=1, bounds=bounds)
    assert_step(problem, eta, bounds)


def assert_step(problem, eta: torch.Tensor, bounds=(0.0, 1.0)) -> None:
    options = {**problem.adversary, **problem.layer, "bounds": bounds}
    start = reference.inner_ascent(*problem.double(), **options, steps=0)
    problem.eta = start.float()
    expected = reference.inner_ascent(*problem.double(), **options, steps=1)
    assert_certain_pixels_agree(problem, eta, expected, 0.3)


@pytest.mark.parametrize(
    ("shape", "layout"), [(CIFAR, "planes"), *((shape, name) for shape in CHEAP for name in LAYOUTS)], ids=str
)
def test_steps_and_images_are_independent(backend, shape, layout):
    """n steps are n times one, and an image's result does not depend on which one of a block's images it is."""
    problem = make_problem(replace(shape, batch=5), normalize=True, **LAYOUTS[layout])
    at_once = ascend(problem, backend, steps=2)
    whole = problem.tensors
    problem.eta = ascend(problem, backend, steps=1)
    assert torch.equal(ascend(problem, backend, steps=1), at_once)
    problem.x, problem.eta, problem.p = (t[4:] for t in whole[:3])
    assert torch.equal(ascend(problem, backend, steps=2), at_once[4:])


@pytest.mark.parametrize("shape", CHEAP, ids=str)
@pytest.mark.parametrize("order", ["reverse", "random"])
@pytest.mark.parametrize("layout", ["planes", "bfloat16 pixels"])
def test_the_order_of_threads_does_not_matter(backend, shape, order, layout):
    module = cuda_on_host.host_module()
    problem = make_problem(replace(shape, batch=5), **LAYOUTS[layout])
    forward = ascend(problem, backend, steps=2)
    module.set_schedule(order, 3)
    try:
        assert torch.equal(ascend(problem, backend, steps=2), forward)
    finally:
        module.set_schedule("forward", 0)


@pytest.mark.parametrize("shape", CHEAP, ids=str)
def test_images_in_any_strides(backend, shape):
    problem = make_problem(replace(shape, batch=2))
    expected = ascend(problem, backend, steps=2)
    shifted = torch.empty(problem.x.numel() + 1)[1:].view_as(problem.x).copy_(problem.x)
    for x in (problem.x.to(memory_format=torch.channels_last), problem.x.mT.contiguous().mT, shifted):
        for eta in (problem.eta, problem.eta.to(memory_format=torch.channels_last)):
            problem.x, problem.eta = x, eta
            assert torch.equal(ascend(problem, backend, steps=2), expected)


def test_no_steps_project(backend):
    problem = make_problem(replace(WIDE, batch=5))
    problem.eta = problem.eta * 10
    assert torch.equal(ascend(problem, backend, steps=0), reference.inner_ascent(
        *problem.tensors, **problem.adversary, **problem.layer, steps=0))  # fmt: skip


def harden(problem, name: str) -> None:
    """Inputs that are hard on scales, signs and padding; in place."""
    x, eta, p, bias = problem.x, problem.eta, problem.p, problem.bias
    if name == "dark":  # z is exactly 0 in the dark
        bias.zero_()
        x[:, :, 8:20, 8:20] = eta[:, :, 8:20, 8:20] = 0
    elif name == "flat":  # and here, because filters sum to 0
        bias.zero_()
        x.fill_(0.5)
        eta.zero_()
        problem.weight = (problem.weight * 8).round() / 8
        problem.weight[:, :, 1, 1] -= problem.weight.sum((2, 3))
    elif name == "black":
        bias.zero_()
        x.zero_()
        eta.zero_()
    elif name == "large bias":
        bias.mul_(1e4).add_(3)
    elif name == "huge bias":
        bias.mul_(1e12)
    elif name == "outlier":
        p[0, 5, 10, 3] *= 1e12
        p[0, 9, 16, 9] *= 1e-12
    elif name == "outlier in the last row":
        p[0, 5, -1, 3] *= 1e12
    elif name == "steep rows":  # neighbours of which one is lost beside the other
        p.mul_(torch.logspace(-30, 30, 7)[torch.arange(p.shape[2]) % 7].view(-1, 1))
    elif name == "zero rows":
        p[0, :, 8:12] = p[0, :, 16:20] = p[0, :, 13] = 0
    elif name == "zero channels":
        p[0, ::2] = 0
        problem.weight[1::4] = 0
    elif name == "no p":
        p.zero_()
    elif name == "sparse":
        p.mul_(torch.rand(p.shape, generator=torch.Generator().manual_seed(1)) < 0.02)
    elif name == "large p":
        p.mul_(1e35)
    elif name == "tiny p":
        p.mul_(1e-30)
    elif name == "tiny weights":
        problem.weight = problem.weight * 1e-12
        bias.mul_(1e-12)


HARD = [
    "dark", "flat", "black", "large bias", "huge bias", "outlier", "outlier in the last row", "steep rows", "zero rows",
    "zero channels", "no p", "sparse", "large p", "tiny p", "tiny weights",
]  # fmt: skip


@pytest.mark.parametrize("shape", CHEAP, ids=str)
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("layout", ["planes", "bfloat16 pixels"])
def test_hard_inputs(backend, shape, name, layout):
    """A step moves as the reference's does wherever the halves of a row can tell; what has no gradient stays."""
    problem = make_problem(shape, **LAYOUTS[layout])
    harden(problem, name)
    eta = ascend(problem, backend, steps=1)
    options = {**problem.adversary, **problem.layer}
    problem.eta = reference.inner_ascent(*problem.tensors, **options, steps=0)
    expected = reference.inner_ascent(*problem.double(), **options, steps=1)
    g = reference_gradient(problem)
    bound = gradient_error_bound(without_kinks(problem) if name.endswith("bias") else problem, 10)
    bound = bound + lost_in_halves(problem)
    assert (g.abs() > bound).any() or name in ("flat", "black", "no p")
    wrong = ((eta - expected).abs() > 1e-6) & ((g.abs() > bound) | (reach_of_p(problem) == 0))
    assert not wrong.any()
    if name in ("flat", "black", "no p"):  # the bound would excuse a unit at its kink, where act' is 0
        assert torch.equal(eta[..., 2:-2, 2:-2], problem.eta[..., 2:-2, 2:-2])


def without_kinks(problem):
    """The linear problem of the units that are on: where the bias decides, which is not rounded, they are known."""
    units = F.conv2d(problem.u, problem.weight, problem.bias, padding=problem.layer["padding"])
    assert (units.abs() > 1e-2).all()
    return replace(problem, p=problem.p * (units > 0), bias=None, layer={**problem.layer, "activation": "identity"})


def reach_of_p(problem) -> torch.Tensor:
    """By how much p could move each pixel at most."""
    weight = problem.weight.double().abs()
    return torch.nn.grad.conv2d_input(
        problem.x.shape, weight, problem.p.double().abs(), padding=problem.layer["padding"]
    )


def lost_in_halves(problem) -> torch.Tensor:
    """What a row of p and the filters lose in halves: 2^-35 of their largest magnitudes."""
    rows = problem.p.double().abs().amax((1, 3), keepdim=True) * 2.0**-35
    p, weight = problem.p.double().abs(), problem.weight.double().abs()
    adjoint = lambda p, w: torch.nn.grad.conv2d_input(problem.x.shape, w, p, padding=problem.layer["padding"])  # noqa: E731
    return adjoint(rows.expand_as(p).contiguous(), weight) + adjoint(p, (weight.max() * 2.0**-35).expand_as(weight))


@pytest.mark.parametrize("shape", CHEAP, ids=str)
@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_that_are_none(backend, shape, boxed, layout):
    """eta is NaN where it was, or where x was and there are bounds; all else is feasible and, out of the reach of such
    numbers, as the reference has it."""
    problem = make_problem(replace(shape, batch=2), **LAYOUTS[layout])
    last = shape.channels - 1
    problem.x[0, 0, 5, 7] = problem.x[0, last, -1, -1] = torch.nan
    problem.eta[0, 0, 0, 0] = problem.eta[0, last, 16, 3] = torch.nan
    problem.eta[0, last, 9, 9], problem.eta[0, last, 9, 10] = torch.inf, -torch.inf
    problem.p[1, 3, 13, 13], problem.p[1, 4, 20, 5] = torch.inf, torch.nan
    bounds = (0.0, 1.0) if boxed else None
    eta = ascend(problem, backend, steps=1, bounds=bounds)
    nan = problem.eta.isnan() | (problem.x.isnan() & boxed)
    assert torch.equal(eta.isnan(), nan)
    assert (eta[~nan].abs() <= torch.tensor(8 / 255)).all()
    options = {**problem.adversary, **problem.layer, "bounds": bounds}
    expected = reference.inner_ascent(*problem.double(), **options, steps=1)
    problem.eta = reference.inner_ascent(*problem.double(), **options, steps=0).nan_to_num()
    problem.x = problem.x.nan_to_num()
    finite = replace(problem, p=problem.p.nan_to_num(0, 0, 0))
    certain = reference_gradient(finite).abs() > gradient_error_bound(finite, 10)
    touched = touched_by(problem, nan)
    assert ((eta - expected).abs() <= 1e-6)[certain & ~touched].all()
    assert (certain & ~touched).float().mean() > 0.3


def touched_by(problem, nan: torch.Tensor) -> torch.Tensor:
    """Pixels that share an output with a NaN, or read a p that is not finite."""
    bad = nan.any(1, keepdim=True).float()
    pad = problem.layer["padding"]
    outputs = F.max_pool2d(F.pad(bad, (pad[1], pad[1], pad[0], pad[0])), 3, 1)
    outputs = torch.maximum(outputs, (~problem.p.isfinite()).any(1, keepdim=True).float())
    ones = torch.ones(1, 1, 3, 3)
    return (torch.nn.grad.conv2d_input(bad.shape, ones, outputs, padding=pad) > 0).expand_as(problem.x)


def test_an_image_of_nan_spares_the_others(backend):
    problem = make_problem(replace(WIDE, batch=3))
    expected = ascend(problem, backend, steps=2)
    problem.x[0] = problem.p[0] = torch.nan
    assert torch.equal(ascend(problem, backend, steps=2)[1:], expected[1:])


def test_gradients_of_any_magnitude_share_no_scale(backend):
    problem = make_problem(WIDE)
    problem.eta = torch.zeros_like(problem.x)
    problem.p *= torch.logspace(-12, 1, 32).view(-1, 1)
    error = (gradient(problem, backend, "high") - reference_gradient(problem)).abs()
    assert (error <= gradient_error_bound(problem, 10) + lost_in_halves(problem)).all()
