# SPDX-License-Identifier: MIT
"""What ptxas says of every CUDA kernel: registers, stack, spills. Needs nvcc, but no GPU.

python bench/cuda_static_budget.py            # prints the table
python bench/cuda_static_budget.py --write    # and writes docs/cuda-kernels.md
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "machine_code"))

from cubins import ROOT, compile_cubin, nvcc_version, sources
from document import section

ARCHITECTURES = (80, 90, 100)
DOCUMENT = ROOT / "docs" / "cuda-kernels.md"

HEADER = """# CUDA kernels: static budget

Written by `python bench/cuda_static_budget.py --write` from ptxas' report ({nvcc}). Registers are those of a thread;
stack and spills are bytes (the stack of `resident_kernel` holds arguments of one call an image). Shared memory is
dynamic throughout: the host measures what a problem needs with the code that carves it, and places things elsewhere,
or takes another path, where a block of the device has less (227 KB on sm_90 and sm_100, 163 KB on sm_80, 99 KB on
sm_86, sm_89 and sm_120).

## Linear layers in precision "high"

g does not depend on η, so it is computed once, and a pixel's n steps are an addition, a maximum and a minimum each in
the registers of one thread (`pixel_walk.cuh`; fmaxf and fminf pass a NaN over, so NaN bounds are what keeps one). Three
kernels share the work, in this order:

| path | what it takes |
|---|---|
| `linear_rows` | 3 × 3 taps, padding 1, on 3 × 32 × 32; multiples of 16 channels of p, without gaps; linf |
| `patches` | stride = kernel, no padding, no pixel left over, more than 32 taps; linf |
| `linear_mma` | windows of up to 192 taps on images whose g fits shared memory; l2 too |

What none takes, and `"highest"`, goes to `linear_fma_kernel` or to tiles. p in NCHW or channels-last, in 32 or 16 bits,
with any stride between images; x and eta at any strides.

`linear_rows_kernel` has a block an image and four rows a warp. A lane's share of a row, 64 bytes of p (32 of a 16-bit
NCHW p), is on its way for all four rows while the weights are packed, and for the next channels while these are
multiplied, so p is read once and 64 KB of it at a time. Rows of A are taps: eight of the nine (channel, dx) share an
octet with one dy, so three rows' products are added in registers before they meet the neighbours in shared memory,
11 numbers a pixel instead of 27. The channels of p are a loop: 3 → 16 and 3 → 64 are one kernel. g stays in the
registers of the thread that moves the pixels.

`patches_kernel` multiplies patches × channels by channels × taps, a tile of 128 × 128 a block and two blocks a
multiprocessor; each element of the product is one pixel's g. Fragments lie in shared memory in the order in which lanes
read them, 16 bytes at a time, and what is loaded (four patches or four channels of p, four taps of the weights) is
assigned to rows, columns and products such that stores meet no bank twice (`patch_tile.cuh`). The tile's g goes through
shared memory once more, so that a warp moves whole lines of eight patches side by side. Pixels of images that are
channels-last, or of kernels whose width is no multiple of four, are moved one at a time.

Operands are tf32, by which 16-bit numbers lose nothing, rounded to nearest: one instruction from sm_90 on. In the other
two kernels a bfloat16 p goes to the tensor cores as it lies, and meets each weight as the sum of two bfloat16, which
together hold sixteen of its bits.

## Nonlinear layers in precision "high"

From sm_80 on `resident_kernel` takes filters of up to 80 taps, counted over the channels (3 × 3 and 5 × 5 on up to
three channels, 3 × 3 on four, strided and dilated too). Weights, u and the products of a pass are always in shared
memory. g, then x with eta, then p, as scaled halves in fragment order, are there as far as there is room; the others,
and the groups of 32 positions of p that are left over, lie in a slot of the workspace, p written once and read in each
step. There is one slot for each multiprocessor, and its block takes one image after another through it, so that the
slots stay in L2; halves make it half the traffic of a 32-bit p. A lane reads back only what it wrote itself, so no
fence is needed.

Shared memory of one block for 3 → 64 channels, 3 × 3, 32 × 32, 213.5 KB:

| array | bytes |
|---|---|
| p, halves | 131,072 |
| products of a pass: 27 taps at 256 positions | 28,080 |
| x and eta, side by side | 24,576 |
| g | 12,288 |
| u, words of two halves, with the padding | 9,520 |
| weights, as fragments of both products | 8,192 |
| corners of the positions in u | 2,048 |
| sums of `norm="l2"` | 2,048 |
| bias, eps, alpha and bounds, mean and 1/std, scales | 800 |

A call begins by asking for its image's p (`prefetch.cuh`: from sm_90 on by bulk prefetches, which need no registers and
no waiting), so that it comes to L2 while weights are packed and x and eta arrive. The largest weight and the largest
input are found behind one barrier each. From then on nothing is read from global memory: whoever moves a pixel
(`resident_pixels.cuh`) also writes its half of a word of u, for the next step, and `eta` leaves after the last one.

Several pixels are loaded before the first is used: a store in between would hold every later load back, because the two
might meet. The same holds for the kernels that keep eta in global memory (`update.cuh`).

With three channels, 3 × 3, images of 64 × 64 and 128 output channels fit every architecture from sm_80 on. What does
not fit takes the FMA kernels.

## Nonlinear layers with a geometry of their own

`fixed_kernel` takes what `fixed_shape.h` lists, with p in 32 bits and NCHW, or channels-last in 32 or 16 bits, without
gaps within an image, `norm="linf"`, any activation, either direction, x and eta at any strides; everything else of the
same geometry takes `resident_kernel`, whose sums over a sample it does not repeat. `explain` says which one serves a
call, `yopo info` lists the geometries. Counts, divisions and addresses are the compiler's, a warp owns four rows of
outputs and of pixels, and eight threads share a row of pixels out, four to a thread:

* x, eta and its interval stay in registers; whoever gathers g of a pixel moves it and writes its word of u.
* With three channels the second product sums over dy: when a row of outputs is done, its accumulators move up by one
  dy and only complete rows leave, 11 numbers a pixel instead of 27. Each row of p has a scale of its own, so they are
  multiplied by the ratio of two scales on the way. Ratios are exact. Sums follow two of them at most, so no row's
  scale may exceed those of the two before it 2^93 times: rows of p that differ 10^32 times are what that costs bits.
  Where two warps' sums meet, the one in the larger unit stays and the other is scaled down.
* ReLU: weights of both products in registers for all steps, everything unrolled, the bias as two halves in the spare
  slot of the first product, act' a mask of halves (a z of 0 and a NaN are what they are everywhere else).
* Other activations: the bias in the accumulators, weights from shared memory, one loop for all rows and channels,
  whose sixteen slopes are computed together behind one choice of the activation (`half_slopes.cuh`,
  `approximate.cuh`), which the general kernel shares. The special-function unit's powers of two and reciprocals are
  within 1e-6; gelu is a power of two times a polynomial, within 5e-6.
* p is read a row of outputs ahead of its use, sixteen bytes at a time (eight where a lane has no more): neighbouring
  positions of NCHW, neighbouring channels of channels-last. Which channels a lane holds follows from that, and the
  weights of both products are packed in the same order (`fixed_rows.cuh`); the products do not know of it.
* A block takes several images one after another and asks for the next one's p while it steps.

3 → 64 needs 226 KB and has code from sm_90 on; 3 → 16 and 1 → 32 (two blocks on a multiprocessor with ReLU) also on
sm_80.

Two ways lead to full speed for more geometries. *More instances ahead of time*: one line in the table, some two
seconds of nvcc for each architecture and kernel, nothing at run time; but somebody must have asked for the shape.
*The same template compiled at first use*, with NVRTC, as DeepGEMM and CuPy do: every shape that fits, for seconds of
waiting at its first call, a cache on disk that several processes and versions share, a compiler found in torch's
wheels at run time, a path that cannot be tested without a GPU, and sources that must be shipped. First layers are
few, their geometry is in the published networks, and the general kernel is right for all others, so the instances are
compiled ahead of time.

## The first layer's own gradient, and shapes that no other kernel takes

`weight_kernel` sums dW and db: eight channels of p and seven taps at a time in a warp's registers, then over the lanes,
then in shared memory, then over the sections of the batch, always in one order. Where p's channels lie side by side and
are aligned, it and `gradient_kernel` read sixteen bytes at a time. `gradient_kernel` and `ascend_images_kernel` take
any stride and dilation: a pixel goes from one tap that reads it straight to the next, a stride apart.

## Launching

Which kernels a call takes depends on what the code was compiled for that the driver runs on this device, not on the
device alone: PTX of sm_75 on a newer GPU has no tensor-core products. `device.cu` asks the driver once (`explain` gives
its answer where it is no). The driver loads a kernel's code at its first launch; `runtime.cpp` has it loaded before,
out of a capture's sight, so a process's first call may lie inside a CUDA graph.

{counts}## Registers

What they take on a GPU: [](results.md).

"""


@dataclass(frozen=True)
class Usage:
    kernel: str
    architecture: int
    registers: int
    stack: int
    spills: int
    static_shared: int


def readable(mangled: str) -> str:
    """The kernel's name and template arguments, without the parameters."""
    demangler = shutil.which("c++filt")
    if demangler is None:
        return mangled
    name = subprocess.run([demangler, mangled], capture_output=True, text=True, check=True).stdout.strip()
    name = re.sub(r"^void |\([^()]*\)$", "", name)
    name = re.sub(r"yopo::(cuda::)?", "", name)
    for value, dtype in enumerate(("float32", "bfloat16", "float16")):
        for layout_value, layout in enumerate(("planes", "pixels")):
            costate = rf"(Patch)?Costate(Chunk|Row)?<\(DType\){value}, \(Layout\){layout_value}>"
            name = re.sub(costate, f"{dtype}, {layout}", name)
            name = name.replace(f"EitherHalfChunk<(Layout){layout_value}>", f"16 bits, {layout}")
    name = name.replace(" >", ">")
    for row, costate in (
        ("PlaneRow<{}>", "float32, planes"),
        ("PixelRow<{}, 4>", "float32, pixels"),
        ("PixelRow<{}, 2>", "16 bits, pixels"),
    ):
        name = re.sub(row.format("FixedShape<[^<>]*>"), costate, name)
    return name


def parse(report: str, architecture: int) -> list[Usage]:
    usages = []
    for part in report.split("Compiling entry function '")[1:]:
        kernel = part.split("'", 1)[0]
        frame = re.search(
            rf"Function properties for {re.escape(kernel)}\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
            r"(\d+) bytes spill loads",
            part,
        )
        used = re.search(r"Used (\d+) registers", part)
        assert frame is not None
        assert used is not None
        shared = re.search(r"(\d+) bytes smem", part)
        usages.append(
            Usage(
                readable(kernel), architecture, int(used[1]), int(frame[1]), int(frame[2]) + int(frame[3]),
                int(shared[1]) if shared else 0,
            )
        )  # fmt: skip
    return usages


def measure(architectures: tuple[int, ...] = ARCHITECTURES) -> tuple[list[Usage], list[Path]]:
    """The usage of every kernel, and the cubins."""
    jobs = [(source, architecture) for architecture in architectures for source in sources()]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: compile_cubin(*job), jobs))
    usages = [
        usage
        for (_, report), (_, architecture) in zip(results, jobs, strict=True)
        for usage in parse(report, architecture)
    ]
    return usages, [cubin for cubin, _ in results]


def table(usages: list[Usage]) -> str:
    by_kernel: dict[str, dict[int, Usage]] = {}
    for usage in usages:
        by_kernel.setdefault(usage.kernel, {})[usage.architecture] = usage
    architectures = sorted({usage.architecture for usage in usages})
    head = "| kernel | " + " | ".join(f"sm_{a} registers | stack | spills" for a in architectures) + " |"
    lines = [head, "|---" * (1 + 3 * len(architectures)) + "|"]
    for kernel, found in sorted(by_kernel.items()):
        cells = (f"{found[a].registers} | {found[a].stack} | {found[a].spills}" for a in architectures)
        lines.append(f"| `{kernel}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/cuda-kernels.md")
    arguments = parser.parse_args()
    usages, _ = measure()
    print(table(usages))
    if arguments.write:
        DOCUMENT.write_text(HEADER.format(nvcc=f"nvcc {nvcc_version()}", counts=section()) + table(usages) + "\n")


if __name__ == "__main__":
    main()
