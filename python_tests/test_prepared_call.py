# SPDX-License-Identifier: MIT
"""Calls like one before take a short way: never with what belonged to the earlier call."""

from __future__ import annotations

import gc
import math
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from differential import Shape, make_problem
from torch import nn

import yopo_ext
from yopo_ext import backends, operators, prepared_call
from yopo_ext.backends import cpu_backend, torch_backend
from yopo_ext.ops import hamiltonian_gradients

SHAPE = Shape(2, 3, 8, 8, 4)
PROBLEM = make_problem(SHAPE)
OPTIONS = {"eps": 0.1, "alpha": 0.02, "steps": 2, "padding": 1, "activation": "relu", "mean": 0.4, "std": 0.3}


@pytest.fixture(autouse=True)
def forgotten():
    prepared_call._ascents.clear()
    prepared_call._gradients.clear()


@pytest.fixture
def ordinary(monkeypatch):
    """Counts the calls that went through torch.library."""
    calls = []
    for name in ("run_inner_ascent", "run_hamiltonian_gradients"):
        run = getattr(operators, name)
        monkeypatch.setattr(operators, name, lambda *args, run=run: calls.append(1) or run(*args))
    return calls


def afresh(*args, **options):
    """The same by the ordinary way, whatever has been prepared."""
    prepared_call._ascents.clear()
    return yopo_ext.inner_ascent(*args, **options)


def test_the_second_call_takes_the_short_way_to_the_same_bits(ordinary, backend):
    other = make_problem(SHAPE, seed=1)
    expected = yopo_ext.inner_ascent(*other.tensors, **OPTIONS, backend=backend)
    wanted = hamiltonian_gradients(other.u, *other.tensors[2:], padding=1, backend=backend)
    assert len(ordinary) == 2
    assert torch.equal(yopo_ext.inner_ascent(*other.tensors, **OPTIONS, backend=backend), expected)
    got = hamiltonian_gradients(other.u, *other.tensors[2:], padding=1, backend=backend)
    assert all(map(torch.equal, got[:2], wanted[:2]))
    yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS, backend=backend)
    assert len(ordinary) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"eps": 0.05}, {"eps": [0.1, 0.05, 0.1]}, {"eps": torch.tensor(0.05)}, {"alpha": -0.02}, {"alpha": 0.5},
        {"steps": 0}, {"steps": 1}, {"activation": "identity"}, {"activation": nn.LeakyReLU(0.5)}, {"mean": 0.5},
        {"mean": [0.1, 0.2, 0.3]}, {"std": torch.tensor([0.1, 0.2, 0.3])}, {"bounds": None}, {"bounds": (0.3, 0.6)},
        {"norm": "l2"}, {"direction": "gradient"},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_tells_calls_apart(changed):
    before = yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    options = {**OPTIONS, **changed}
    expected = afresh(*PROBLEM.tensors, **options)
    prepared_call._ascents.clear()
    yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    for _ in range(2):
        assert torch.equal(yopo_ext.inner_ascent(*PROBLEM.tensors, **options), expected)
        assert torch.equal(yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS), before)
    assert not torch.equal(expected, before)


@pytest.mark.parametrize(
    "changed",
    [
        {"eps": -0.1}, {"eps": True}, {"eps": math.nan}, {"alpha": "0.02"}, {"steps": 2.0}, {"steps": -1},
        {"std": False}, {"padding": True}, {"padding": (1, True)}, {"padding": 1.0}, {"stride": (1, 1, 1)},
        {"std": 0.0}, {"bounds": (1.0, 0.0)}, {"bounds": 1.0}, {"activation": "swish"}, {"norm": "l1"},
        {"precision": "double"}, {"backend": "abacus"}, {"mean": torch.tensor([0.1, math.nan, 0.1])}, {"weight": None},
        {"shape": 3}, {"eta": PROBLEM.eta.double()}, {"p": PROBLEM.p[:, :3]}, {"bias": PROBLEM.bias.half()},
        {"x": PROBLEM.x[0]},
    ],
    ids=str,
)  # fmt: skip
def test_errors_are_the_same_after_a_good_call(changed):
    named = dict(zip(("x", "eta", "p", "weight", "bias"), PROBLEM.tensors, strict=True))
    call = {**named, **OPTIONS, **changed}
    texts = []
    for _ in range(2):
        with pytest.raises((TypeError, ValueError, RuntimeError)) as raised:
            yopo_ext.inner_ascent(**call)
        texts.append((raised.type, str(raised.value)))
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
        yopo_ext.inner_ascent(**named, **OPTIONS)
    assert texts[0] == texts[1]


def test_arguments_too_many_or_twice_are_refused_as_ever():
    yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    with pytest.raises(TypeError, match=r"inner_ascent\(\) got multiple values for argument 'bias'"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, bias=PROBLEM.bias, **OPTIONS)
    with pytest.raises(TypeError, match=r"inner_ascent\(\) takes from 4 to 5 positional"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, 1, **OPTIONS)


@pytest.mark.parametrize("name", ["eps", "alpha", "mean", "std"])
def test_values_in_a_tensor_are_read_and_checked_at_every_call(name, ordinary):
    values = torch.full((3,), 0.1)
    options = {**OPTIONS, name: values}
    yopo_ext.inner_ascent(*PROBLEM.tensors, **options)
    values.data.mul_(3)  # unseen by version counters
    short = yopo_ext.inner_ascent(*PROBLEM.tensors, **options)
    assert len(ordinary) == 1
    assert torch.equal(short, afresh(*PROBLEM.tensors, **{**OPTIONS, name: values.tolist()}))
    yopo_ext.inner_ascent(*PROBLEM.tensors, **options)
    values[1] = math.nan
    with pytest.raises(ValueError, match=rf"^{name}: got"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **options)


def test_an_activation_s_parameter_is_read_at_every_call():
    activation = nn.LeakyReLU(0.1)
    options = {**OPTIONS, "activation": activation}
    before = yopo_ext.inner_ascent(*PROBLEM.tensors, **options)
    activation.negative_slope = -3.0
    after = yopo_ext.inner_ascent(*PROBLEM.tensors, **options)
    assert not torch.equal(after, before)
    assert torch.equal(after, afresh(*PROBLEM.tensors, **options))


def misaligned(p):
    """The same, where no vector load can begin."""
    return torch.cat([torch.zeros(1), p.flatten()])[1:].view(p.shape)


def test_strides_and_dtypes_tell_calls_apart(backend):
    problem = make_problem(SHAPE)
    for change in (
        lambda p: p, lambda p: p.to(memory_format=torch.channels_last), lambda p: p.to(torch.bfloat16),
        lambda p: p.flip(1), lambda p: p.mT.contiguous().mT, lambda p: torch._neg_view(-p), misaligned,
    ):  # fmt: skip
        p = change(problem.p)
        args = (problem.x, problem.eta, p, problem.weight, problem.bias)
        expected = yopo_ext.inner_ascent(
            problem.x, problem.eta, p.float().contiguous().resolve_neg(), *args[3:], **OPTIONS, backend=backend
        )
        for _ in range(2):
            assert torch.allclose(yopo_ext.inner_ascent(*args, **OPTIONS, backend=backend), expected, atol=1e-6)


def test_a_weight_edited_in_place_is_the_next_call_s():
    problem = make_problem(SHAPE)
    leaves = [*problem.tensors[:3], nn.Parameter(problem.weight), nn.Parameter(problem.bias)]
    yopo_ext.inner_ascent(*leaves, **OPTIONS)
    leaves[3].data.neg_()
    assert torch.equal(yopo_ext.inner_ascent(*leaves, **OPTIONS), afresh(*leaves, **OPTIONS))


def test_the_environment_and_later_registrations_count(monkeypatch, needs_native):
    seen = []

    def other(name):
        parts = {part: getattr(torch_backend, part) for part in ("hamiltonian", "hamiltonian_gradients")}
        ascend = lambda call: seen.append(name) or torch_backend.inner_ascent(call)  # noqa: E731
        return SimpleNamespace(can_run=lambda call: refusal, inner_ascent=ascend, fuses_gradient=False, **parts)

    refusal = None
    for _ in range(2):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    monkeypatch.setattr(backends, "_loaded", dict(backends._loaded))
    backends.register("prepared_test", other("first"))
    monkeypatch.setenv("YOPO_EXT_BACKEND", "prepared_test")
    for _ in range(3):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    backends.register("prepared_test", other("second"))
    for _ in range(2):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    assert seen == ["first"] * 3 + ["second"] * 2
    refusal = "it is tired"  # whoever does not promise to be steady is asked at every call
    with pytest.raises(RuntimeError, match="it is tired"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    monkeypatch.delenv("YOPO_EXT_BACKEND")
    yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    assert len(seen) == 5


def test_threads_and_instruction_set_are_read_at_every_call(monkeypatch, needs_native):
    problem = make_problem(Shape(12, 3, 16, 16, 16))
    for _ in range(2):
        yopo_ext.inner_ascent(*problem.tensors, **OPTIONS, backend="cpu")
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked.append(1) or 1)
    yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS, backend="cpu")
    assert not asked  # too small to share
    yopo_ext.inner_ascent(*problem.tensors, **OPTIONS, backend="cpu")
    assert asked
    monkeypatch.setenv("YOPO_EXT_CPU_ISA", "mmx")
    with pytest.raises(RuntimeError, match="'mmx'"):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS, backend="cpu")


def test_autocast_and_grad_mode_do_not_reach_the_kernel(backend):
    expected = yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS, backend=backend)
    leaves = [t.clone().requires_grad_() for t in PROBLEM.tensors]
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            eta = yopo_ext.inner_ascent(*leaves, **OPTIONS, backend=backend)
        assert not eta.requires_grad
        assert torch.equal(eta, expected)
        with torch.inference_mode():
            assert torch.equal(yopo_ext.inner_ascent(*leaves, **OPTIONS, backend=backend), expected)


def test_modes_transforms_subclasses_and_tracers_see_the_operator(ordinary):
    """They go through torch.library, before and after plain calls."""

    class Mode(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    class Functions(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    class Mine(torch.Tensor):
        pass

    def run(*tensors):
        return yopo_ext.inner_ascent(*tensors, **OPTIONS)

    expected = run(*PROBLEM.tensors)
    for mode in (Mode, Functions):
        seen = []
        with mode():
            assert torch.equal(run(*PROBLEM.tensors), expected)
        assert any("yopo_ext.inner_ascent" in name for name in seen)
    assert torch.equal(run(PROBLEM.x.as_subclass(Mine), *PROBLEM.tensors[1:]).as_subclass(torch.Tensor), expected)
    with torch.profiler.profile() as profile:
        run(*PROBLEM.tensors)
    assert any(event.key == "yopo_ext::inner_ascent" for event in profile.key_averages())
    with torch._subclasses.FakeTensorMode() as mode:
        fakes = [mode.from_tensor(t) for t in PROBLEM.tensors]
        assert type(run(*fakes)) is type(fakes[0])
    traced = torch.fx.experimental.proxy_tensor.make_fx(run)(*PROBLEM.tensors)
    assert "yopo_ext.inner_ascent" in traced.code
    assert torch.equal(torch.func.functionalize(run)(*PROBLEM.tensors), expected)
    before = len(ordinary)
    assert torch.equal(run(*PROBLEM.tensors), expected)
    assert len(ordinary) == before


def test_no_tensor_is_kept_and_not_every_call_ever():
    problem = make_problem(SHAPE)
    tensors = [t.clone() for t in problem.tensors]
    gone = [weakref.ref(t) for t in tensors]
    options = {**OPTIONS, "eps": torch.tensor([0.1, 0.1, 0.1])}
    gone.append(weakref.ref(options["eps"]))
    for _ in range(2):
        yopo_ext.inner_ascent(*tensors, **options)
        hamiltonian_gradients(tensors[0], *tensors[2:], padding=1)
    del tensors, options
    gc.collect()
    assert not any(ref() for ref in gone)
    for number in range(prepared_call.LIMIT + 50):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **{**OPTIONS, "eps": 0.1 + number * 1e-4, "steps": 0})
    assert len(prepared_call._ascents) <= prepared_call.LIMIT


def test_python_threads_do_not_share_what_is_theirs(monkeypatch):
    """More kinds of calls than are kept, from four threads: each gets its own answer."""
    monkeypatch.setattr(prepared_call, "LIMIT", 3)
    radii = [0.01 * (1 + number % 7) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda eps: yopo_ext.inner_ascent(*PROBLEM.tensors, **{**OPTIONS, "eps": eps}), radii)
    expected = {eps: afresh(*PROBLEM.tensors, **{**OPTIONS, "eps": eps}) for eps in set(radii)}
    assert all(torch.equal(eta, expected[eps]) for eps, eta in zip(radii, found, strict=True))


def test_gradients_are_of_the_images_dtype_whatever_the_default_is(needs_native):
    expected = hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], padding=1, backend="cpu", need_input=True)
    torch.set_default_dtype(torch.float64)
    try:
        got = hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], padding=1, backend="cpu", need_input=True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, got, expected))


def test_all_three_gradients_or_two():
    two = hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], padding=1)
    three = hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], padding=1, need_input=True)
    again = hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:], padding=1)
    assert two[2] is again[2] is None
    assert three[2] is not None
    assert hamiltonian_gradients(PROBLEM.u, *PROBLEM.tensors[2:4], padding=1)[1] is None


def test_the_native_backend_runs_where_it_was_chosen(needs_native, monkeypatch):
    """Otherwise the tests above compare torch with torch."""
    assert yopo_ext.explain(*PROBLEM.tensors, **OPTIONS).backend == "cpu"
    made = []
    prepare = cpu_backend.prepare_inner_ascent
    monkeypatch.setattr(cpu_backend, "prepare_inner_ascent", lambda call: made.append(1) or prepare(call))
    for _ in range(4):
        yopo_ext.inner_ascent(*PROBLEM.tensors, **OPTIONS)
    assert len(made) == 2  # by the first call itself, and for those that follow
