# SPDX-License-Identifier: MIT
"""The kernels' sm_90 machine code, executed: the same results as the host build and as float64, whatever the order of
warps; no unordered accesses; a missing barrier noticed; instructions within a budget."""

from __future__ import annotations

import json

import cubins
import cuda_on_host
import pytest
import torch
from backend import ARCHITECTURE, MachineCode
from cases import CASES, Case
from cuda_tools import needs_disassembler
from differential import Shape, make_problem
from emulator.global_memory import GlobalMemory
from emulator.listing import read_kernels
from emulator.machine import Emulator
from hard_inputs import NAMES, harden
from measure import measure

import yopo_ext
from yopo_ext.backends.cuda_backend import CudaKernels

pytestmark = [
    needs_disassembler,
    pytest.mark.skipif(cuda_on_host.why_not("cuda_on_host") is not None, reason=str(cuda_on_host.why_not_buildable())),
]
BUDGETS = json.loads((cubins.ROOT / "bench/machine_code/budgets.json").read_text())
SHAPES = {
    "resident": (Shape(2, 3, 9, 11, 16), {"normalize": True}, "high"),
    "resident bfloat16 pixels": (Shape(1, 3, 12, 8, 16), {"p_dtype": torch.bfloat16, "channels_last": True}, "high"),
    "resident strided": (Shape(1, 2, 12, 11, 9, stride=(2, 2)), {"p_dtype": torch.float16}, "high"),
    "resident silu": (Shape(1, 3, 6, 8, 8), {"activation": "silu"}, "high"),
    "linear": (Shape(2, 3, 9, 12, 16), {"activation": "identity", "normalize": True}, "high"),
    "linear bfloat16 pixels": (
        Shape(1, 3, 12, 8, 16),
        {"activation": "identity", "p_dtype": torch.bfloat16, "channels_last": True},
        "high",
    ),
    "fma": (Shape(1, 3, 8, 8, 8), {}, "highest"),
}


def machine_code(name: str = "cuda_machine_code", **options) -> MachineCode:
    """The backend, registered: executes what the host build would launch."""
    cuda_on_host.register("cuda_on_host")
    made = MachineCode(CudaKernels(cuda_on_host.host_module(), "cpu"), **options)
    yopo_ext.backends.register(name, made)
    return made


def ascend(problem, backend: str, precision: str = "high", steps: int = 2, **more) -> torch.Tensor:
    options = {**problem.adversary, **problem.layer, "steps": steps, "precision": precision, **more}
    return yopo_ext.inner_ascent(*problem.tensors, **options, backend=backend)


def test_the_emulator_knows_every_instruction_of_every_kernel():
    unknown = set()
    for source in cubins.sources():
        listing = cubins.listing_of(cubins.compile_cubin(source, ARCHITECTURE)[0])
        for kernel in read_kernels(listing):
            block = Emulator(kernel, GlobalMemory(256), b"", threads=32)
            unknown |= {f"{kernel.name}: {instruction}" for instruction in block.unknown()}
    assert not unknown


@pytest.mark.parametrize("name", SHAPES)
def test_machine_code_agrees_with_the_host_build_in_both_orders_of_warps(name):
    shape, options, precision = SHAPES[name]
    problem = make_problem(shape, **options)
    expected = None
    for reverse in (False, True):
        executed = machine_code(reverse=reverse)
        eta = ascend(problem, "cuda_machine_code", precision)
        assert len(executed.launches) >= 1
        assert executed.unordered == []
        if expected is None:
            expected = ascend(problem, "cuda_on_host", precision)
        torch.testing.assert_close(eta, expected, rtol=0, atol=1e-7)


def test_the_hamiltonian_and_its_gradients_in_machine_code():
    problem = make_problem(Shape(2, 3, 7, 9, 8), normalize=True)
    executed, arguments = machine_code(), (problem.u, *problem.tensors[2:])
    value, exact = (
        yopo_ext.hamiltonian(*arguments, **problem.layer, backend=backend) for backend in ("cuda_machine_code", "torch")
    )
    torch.testing.assert_close(value, exact, rtol=1e-4, atol=1e-4)
    gradients, expected = (
        yopo_ext.ops.hamiltonian_gradients(*arguments, **problem.layer, backend=backend, need_input=True)
        for backend in ("cuda_machine_code", "torch")
    )
    assert executed.unordered == []
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)


def test_every_barrier_that_is_left_out_is_noticed():
    """Each block-wide barrier of a kernel's machine code in turn becomes a NOP: the clocks must object, or a hang."""
    problem = make_problem(Shape(1, 3, 6, 8, 8))
    executed = machine_code()
    ascend(problem, "cuda_machine_code")
    (block,) = executed.blocks
    barriers = [i for i, n in block.issued.items() if n and block.ins[i].base == "BAR"]
    assert len(barriers) >= 3
    unnoticed = [str(block.ins[index]) for index in barriers if not is_noticed(problem, index)]
    assert not unnoticed


def is_noticed(problem, index: int) -> bool:
    planted = machine_code("cuda_planted", change=lambda kernel: kernel.without(index))
    try:
        ascend(problem, "cuda_planted")
    except RuntimeError as error:
        return "deadlock" in str(error)
    return bool(planted.unordered)


@pytest.mark.parametrize("name", NAMES)
def test_hard_inputs_in_machine_code_and_on_the_host(name):
    executed = machine_code()
    case = Case("hard", 3, 12, 16)
    tensors, options = harden(case.tensors(seed=3), name), {**case.layer, **case.adversary, "precision": "high"}
    eta, host = (
        yopo_ext.inner_ascent(**tensors, **options, steps=2, backend=backend)
        for backend in ("cuda_machine_code", "cuda_on_host")
    )
    assert executed.unordered == []
    assert torch.equal(eta.isnan(), host.isnan())
    torch.testing.assert_close(eta, host, rtol=0, atol=1e-7, equal_nan=True)
    assert eta.isnan().sum() == (tensors["x"].isnan() | tensors["eta"].isnan()).sum()
    if name in ("black", "all_zero"):
        assert torch.equal(eta, tensors["eta"].clamp(-8 / 255, 8 / 255).clamp(-tensors["x"], 1 - tensors["x"]))


@pytest.mark.parametrize("name", BUDGETS)
def test_instructions_stay_within_their_budget(name):
    """bench/machine_code/budgets.json; lower it with the kernels. The result must be right too."""
    measured = measure(CASES[name])
    assert measured.complaints == []
    figures = measured.record()
    assert figures["spilled"] == 0
    over = {
        f"{part} {what}": (figures[part][what], most)
        for part, budget in BUDGETS[name].items()
        for what, most in budget.items()
        if figures[part][what] > most
    }
    assert not over
