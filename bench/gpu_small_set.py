# SPDX-License-Identifier: MIT
"""Every kernel once on a small problem, for compute-sanitizer. With --few one image each, without the large ones, for
its slow tools. With --dry-run on the CPU, through the torch backend."""

from __future__ import annotations

import sys
from itertools import product

import torch

import yopo_ext
from yopo_ext.ops import hamiltonian_gradients

SHAPES = [  # batch, channels, size, out_channels, kernel, stride, padding
    (2, 3, 32, 64, 3, 1, 1),
    (2, 3, 32, 128, 3, 1, 1),
    (2, 1, 28, 32, 3, 1, 0),
    (1, 3, 20, 24, 5, 1, 2),
    (1, 3, 150, 16, 7, 2, 3),
]


CASES = [
    *product(SHAPES, ("identity", "relu", "silu"), ("high", "highest"), (False, True)),
    # More images than multiprocessors, whose p does not fit in shared memory: a block takes one image after another
    # through its slot of the workspace.
    ((160, 3, 32, 128, 3, 1, 1), "relu", "high", False),
]


def run(shape: tuple[int, ...], activation: str, precision: str, last: bool, device: str, backend: str) -> None:
    batch, channels, size, out_channels, kernel, stride, padding = shape
    out = (size + 2 * padding - kernel) // stride + 1
    x = torch.rand(batch, channels, size, size, device=device)
    p = torch.randn(batch, out_channels, out, out, device=device)
    p = p.to(torch.bfloat16).to(memory_format=torch.channels_last) if last else p
    weight = torch.randn(out_channels, channels, kernel, kernel, device=device)
    bias = torch.randn(out_channels, device=device)
    layer = {"stride": stride, "padding": padding, "activation": activation, "backend": backend}
    for norm in ("linf", "l2"):
        yopo_ext.inner_ascent(
            x, torch.zeros_like(x), p, weight, bias, eps=0.03, alpha=0.01, steps=2, norm=norm,
            precision=precision, **layer,
        )  # fmt: skip
    hamiltonian_gradients(x, p, weight, bias, need_input=True, **layer)
    yopo_ext.hamiltonian(x, p, weight, bias, **layer)


def few() -> list[tuple]:
    """A large image takes racecheck minutes."""
    alone = [((1, *shape[1:]), *options) for shape, *options in CASES if shape[2] <= 32]
    return list(dict.fromkeys(alone))


def main() -> None:
    device, backend = ("cpu", "torch") if "--dry-run" in sys.argv else ("cuda", "cuda")
    for case in few() if "--few" in sys.argv else CASES:
        run(*case, device, backend)
        print(*case, flush=True)
    if device == "cuda":
        torch.cuda.synchronize()
    print("done")


if __name__ == "__main__":
    main()
