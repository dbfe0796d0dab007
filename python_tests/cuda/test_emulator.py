# SPDX-License-Identifier: MIT
"""The emulator of machine code on kernels whose results and counts are known."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import cubins
import numpy as np
import pytest
from cuda_tools import needs_disassembler
from emulator import timing
from emulator.global_memory import GlobalMemory
from emulator.listing import Instruction, Kernel, constants_of, kernels_of, read_kernel, split_instruction
from emulator.machine import Emulator

pytestmark = needs_disassembler
KERNELS = cubins.ROOT / "bench/machine_code/emulator/known_kernels.cu"
U32 = np.uint32


class Bench:
    """Runs one of the kernels with arrays as its parameters."""

    def __init__(self, folder: Path) -> None:
        self.cubin = folder / "known.cubin"
        subprocess.run(
            ["nvcc", "-std=c++17", "-O3", "-arch=sm_90", "-lineinfo", "-cubin", "-o", self.cubin, KERNELS], check=True
        )
        self.listing = cubins.listing_of(self.cubin)

    def run(self, name, *arrays, threads=256, reverse=False, shared=16384) -> tuple[Emulator, list[np.ndarray]]:
        kernel = read_kernel(self.listing, name, constants_of(self.cubin, name))
        memory = GlobalMemory(1 << 20)
        addresses = [memory.put(array) for array in arrays]
        block = Emulator(
            kernel, memory, struct.pack(f"<{len(addresses)}Q", *addresses), threads=threads, shared_bytes=shared
        )
        block.run(reverse)
        return block, [memory.get(at, array) for at, array in zip(addresses, arrays, strict=True)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("emulator"))


def issued(block: Emulator, base: str) -> int:
    return sum(n for i, n in block.issued.items() if block.ins[i].base == base)


def test_a_reduction_and_its_counts(bench):
    x = np.arange(256, dtype=np.float32)
    block, (_, out) = bench.run("reduction", x, np.zeros(1, np.float32))
    assert out[0] == x.sum()
    assert block.barriers == 9 * 8  # one, then one for each of eight halvings; eight warps
    assert not block.unordered()
    stores = sum(wave[0] for i, wave in block.waves.items() if block.ins[i].base == "STS")
    assert stores == 8 + 4 + 2 + 1 + 1 + 1 + 1 + 1 + 1  # warps that store something, halving by halving
    assert all(split == merged == times for times, split, merged, _ in block.waves.values())  # no conflict anywhere


@pytest.mark.parametrize(("kernel", "good"), [("exchange_with_barrier", True), ("exchange_without_barrier", False)])
def test_a_missing_barrier_shows_in_both_ways(bench, kernel, good):
    x = np.arange(256, dtype=np.float32)
    runs = [bench.run(kernel, x, np.zeros_like(x), reverse=reverse) for reverse in (False, True)]
    (_, (_, forward)), (_, (_, backward)) = runs
    assert np.array_equal(forward.view(U32), backward.view(U32)) == good
    assert all(bool(block.unordered()) != good for block, _ in runs)


def test_what_the_forward_order_hides_is_found(bench):
    x = np.arange(256, dtype=np.float32)
    (forward, (_, ahead)), (backward, (_, behind)) = (
        bench.run("exchange_one_way", x, np.zeros_like(x), reverse=reverse) for reverse in (False, True)
    )
    assert np.array_equal(ahead[128:], x[:128])  # hidden here,
    assert np.isnan(behind[128:]).all()  # not here,
    assert forward.unordered()  # and the clocks see it in both
    assert backward.unordered()


@pytest.mark.parametrize("reverse", [False, True])
def test_named_barriers(bench, reverse):
    x = np.arange(256, dtype=np.float32)
    block, (_, out) = bench.run("named_barriers", x, np.zeros_like(x), reverse=reverse)
    assert np.array_equal(out[128:], x[:128])
    assert not block.unordered()
    assert timing.simulate(block) > 0


def test_bank_conflicts(bench):
    block, (out,) = bench.run("conflicts", np.zeros(32, np.float32), threads=32)
    waves = [(block.ins[i].opcode, *block.waves[i]) for i in sorted(block.waves)]
    assert [wave[2] for wave in waves if wave[0] == "STS"] == [1, 2, 8, 32, 1]
    assert [wave[2:] for wave in waves if wave[0] == "STS.128"] == [(4, 4, 512)]
    assert [wave[2:4] for wave in waves if wave[0] == "LDS"] == [(1, 1)]
    assert (out == 1).all()


def fragments(rng: np.random.Generator, tf32: bool) -> tuple[np.ndarray, ...]:
    """A, B and their fragments by the PTX manual: element (row, column) of lane 4 g + t and register r."""
    depth, lane = 8 if tf32 else 16, np.arange(32)
    g, t = lane >> 2, lane & 3
    left, right = (rng.integers(-8, 8, s).astype(np.float32) / 4 for s in ((16, depth), (depth, 8)))
    if tf32:
        a = np.stack([left[g + 8 * (r & 1), t + 4 * (r >> 1)].view(U32) for r in range(4)])
        return left, right, a, np.stack([right[t + 4 * r, g].view(U32) for r in range(2)])

    def pack(low, high):
        low, high = (half.astype(np.float16).view(np.uint16).astype(U32) for half in (low, high))
        return low | high << U32(16)

    a = np.stack([pack(*(left[g + 8 * (r & 1), 2 * t + e + 8 * (r >> 1)] for e in range(2))) for r in range(4)])
    return left, right, a, np.stack([pack(*(right[2 * t + e + 8 * r, g] for e in range(2))) for r in range(2)])


def test_tensor_cores(bench):
    rng, lane = np.random.default_rng(1), np.arange(32)
    left, right, a, b = fragments(rng, False)
    tf_left, tf_right, ta, tb = fragments(rng, True)
    c = rng.integers(-8, 8, (16, 8)).astype(np.float32)

    def place(matrix):
        return np.stack([matrix[(lane >> 2) + 8 * (r >> 1), 2 * (lane & 3) + (r & 1)] for r in range(4)])

    d = np.zeros((4, 32), np.float32)
    block, out = bench.run("products", a, b, place(c).astype(np.float32), d, ta, tb, d.copy(), threads=32)
    assert np.array_equal(out[3], place(left @ right + c))
    assert np.array_equal(out[6], place(tf_left @ tf_right))
    assert issued(block, "HMMA") == 2


def test_lanes_part_and_meet_again(bench):
    def rounds(n: int) -> int:
        return 0 if n == 1 else 1 + rounds(3 * n + 1 if n % 2 else n // 2)

    x = np.arange(1, 65, dtype=np.int32)
    r = np.array([rounds(int(n)) for n in x], np.int32)
    block, (_, out) = bench.run("divergence", x, np.zeros_like(x), threads=64)
    assert np.array_equal(out, r + r[np.arange(64) ^ 1])
    assert max(block.issued.values()) >= r[:32].max() + r[32:].max()  # a warp goes round as often as its slowest lane


def test_arithmetic(bench):
    rng = np.random.default_rng(2)
    x = rng.integers(-(2**31), 2**31, 512).astype(np.int32)
    x[:64] = rng.integers(-50, 50, 64)
    x[1::2][x[1::2] == 0] = 7
    _, (_, whole, real) = bench.run("arithmetic", x, np.zeros((256, 8), np.int64), np.zeros((256, 8), np.float32))
    a, b = x[::2].astype(np.int64), x[1::2].astype(np.int64)
    q = (np.abs(a) // np.abs(b)) * np.sign(a) * np.sign(b)
    wide, ua, ub = a * b, x[::2].view(U32).astype(np.int64), x[1::2].view(U32).astype(np.int64)
    ones = np.array([bin(v).count("1") for v in ua])
    expected = [q, a - q * b, wide, wide >> (b & 63), wide + a - b, ua // ub, np.minimum(a, b), ones + (a >> (b & 31))]
    assert np.array_equal(whole, np.stack(expected, 1))
    f, g = (v.astype(np.float32) * np.float32(1e-3) for v in (x[::2], x[1::2]))
    fused = (f.astype(np.float64) * g + f).astype(np.float32)
    exact = (f.astype(np.float64) * g).astype(np.float32)
    expected = [f + g, f * g, fused, np.fmin(f, g), np.trunc(f), np.where(np.abs(f) > g, f, g), exact, f - np.trunc(f)]
    assert np.array_equal(real, np.stack(expected, 1).astype(np.float32))


def test_a_false_predicate_keeps_uniform_registers_as_they_are():
    """What works for the whole warp has no lanes to leave out: it must not be executed at all."""
    lines = ("UMOV UR4, 0x5", "UISETP.NE.AND UP0, UPT, UR4, 0x5, UPT", "@UP0 UIADD3 UR4, UR4, 0x1, URZ",
             "@!UP0 UIADD3 UR5, UR4, 0x2, URZ", "EXIT")  # fmt: skip
    instructions = [Instruction(16 * i, text, (), *split_instruction(text)) for i, text in enumerate(lines)]
    block = Emulator(Kernel("by hand", instructions, {}, b""), GlobalMemory(256), b"", threads=32)
    block.run()
    assert block.warps[0].U[4:6] == [5, 7]
    assert block.issued.total() == len(lines)  # what is not executed takes its slot


def test_an_access_outside_is_an_error(bench):
    with pytest.raises(RuntimeError, match="outside"):
        bench.run("outside", np.zeros(256, np.float32), shared=1024)


def test_an_unknown_kernel_is_answered_with_those_there_are(bench):
    with pytest.raises(KeyError, match="reduction"):
        bench.run("nothing")
    assert "products" in kernels_of(bench.listing)


@pytest.mark.parametrize(("equal_writes", "value", "races"), [(False, 0, True), (True, 0, False), (True, 1, True)])
def test_equal_writes_are_harmless_where_that_is_asked_for(equal_writes, value, races):
    """Two warps write to the same place with no barrier: the same number, or each its own."""
    lines = ("S2R R0, SR_TID.X", f"LOP3.LUT R1, R0, {hex(32 * value)}, RZ, 0xc0, !PT", "MOV R2, 0x400",
             "STS [R2], R1", "EXIT")  # fmt: skip
    instructions = [Instruction(16 * i, text, (), *split_instruction(text)) for i, text in enumerate(lines)]
    kernel = Kernel("by hand", instructions, {}, b"")
    block = Emulator(kernel, GlobalMemory(256), b"", threads=64, shared_bytes=64, equal_writes=equal_writes)
    block.run()
    assert bool(block.unordered()) == races
