# SPDX-License-Identifier: MIT
"""A kernel launch as a value: run on the spot, or compiled ahead of time for a GPU that is not there."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton

#: No contraction of a · b + c outside the matrix products: n steps must equal n times one step bit for bit, whatever
#: the compiler inlines around them.
OPTIONS = {"enable_fp_fusion": False}


class Launch(NamedTuple):
    kernel: Any
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, Any]:
        # As many registers as one program can have: left to itself the assembler spills to fit a second one.
        registers = min(255, 65536 // (32 * self.warps))
        return {"num_warps": self.warps, "num_stages": self.stages, "maxnreg": registers, **OPTIONS}

    def run(self) -> None:
        """On the current stream of the device that is current; waits for nothing."""
        self.kernel[self.grid](**self.arguments, **self.options)


def run(launches: list[Launch], device: torch.device) -> None:
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        for launch in launches:
            launch.run()


def compile_ahead(launch: Launch, capability: int) -> Any:
    """The launch's kernel compiled for a compute capability (90 for 9.0): the code the launch would run there."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature: dict[str, Any] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}
    for index, parameter in enumerate(launch.kernel.params):
        value = launch.arguments[parameter.name]
        if parameter.is_constexpr:
            signature[parameter.name] = "constexpr"
            constants[index,] = value
        else:
            signature[parameter.name] = _type_of(
                value, (index,), not parameter.do_not_specialize, constants, attributes
            )
    source = ASTSource(launch.kernel, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=launch.options)


_POINTERS = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}


def _type_of(value: Any, path: tuple[int, ...], specialize: bool, constants: dict, attributes: dict) -> Any:
    """The type Triton gives an argument, as its launcher would: 1 and None are constants, multiples of 16 are noted."""
    if isinstance(value, tuple):
        items = [_type_of(item, (*path, i), specialize, constants, attributes) for i, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if value is None or (type(value) is int and value == 1 and specialize):
        constants[path] = value
        return "constexpr"
    if isinstance(value, torch.Tensor):
        attributes[path] = [["tt.divisibility", 16]]
        return _POINTERS[value.dtype]
    if isinstance(value, float):
        return "fp32"
    if value % 16 == 0 and specialize:
        attributes[path] = [["tt.divisibility", 16]]
    return "i32" if -(2**31) <= value < 2**31 else "i64"
