# SPDX-License-Identifier: MIT
"""Compiles the kernels of many calls for one architecture, without a GPU, and prints what is in the machine code.

    PYTHONPATH=bench python variants.py 90

One JSON object a line. A process of its own, because TRITON_INTERPRET must not be set when triton is imported.
"""

import json
import sys

import torch
from triton_machine_code import machine_code

from yopo_ext import reading
from yopo_ext.arguments import ChannelValues
from yopo_ext.backends.call import HamiltonianCall, InnerAscentCall
from yopo_ext.backends.triton_kernels import plan
from yopo_ext.backends.triton_kernels.launch import Launch


def call(
    batch=128, channels=3, size=32, out_channels=64, padding=1, activation="relu", dtype=torch.float32, last=False,
    steps=3, norm="linf", direction="sign", precision="high", bias=True, mean=None, std=None, bounds=(0.0, 1.0),
    table=False,
) -> InnerAscentCall:  # fmt: skip
    """A call on tensors that are never touched."""
    x = torch.empty(batch, channels, size, size)
    weight, b = torch.empty(out_channels, channels, 3, 3), torch.empty(out_channels) if bias else None
    p = torch.empty(batch, out_channels, size + 2 * padding - 2, size + 2 * padding - 2, dtype=dtype)
    if last:
        p = p.contiguous(memory_format=torch.channels_last)
    ascent = reading.inner_ascent(
        x, x, p, weight, b, eps=8 / 255, alpha=2 / 255, steps=steps, padding=padding, activation=activation, mean=mean,
        std=std, bounds=bounds, norm=norm, direction=direction, precision=precision,
    )  # fmt: skip
    return ascent._replace(budget=ChannelValues([], torch.empty(4, channels))) if table else ascent


LAYOUTS = {
    f"{str(dtype).removeprefix('torch.')} {'channels-last' if last else 'NCHW'}": {"dtype": dtype, "last": last}
    for dtype in (torch.float32, torch.float16, torch.bfloat16)
    for last in (False, True)
}
ACTIVATIONS = ("leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", torch.nn.GELU("tanh"))
ASCENTS = (
    {f"linear, {name}": {"activation": "identity", **layout} for name, layout in LAYOUTS.items()}
    | {f"relu, {name}": layout for name, layout in LAYOUTS.items()}
    | {f"{activation}": {"activation": activation} for activation in ACTIVATIONS}
    | {
        "linear, highest": {"activation": "identity", "precision": "highest"},
        "relu, highest": {"precision": "highest"},
        "linear, normalised": {"activation": "identity", "mean": 0.5, "std": [0.2, 0.3, 0.4]},
        "relu, normalised": {"mean": 0.5, "std": [0.2, 0.3, 0.4]},
        "relu, table": {"table": True, "bias": False},
        "linear, 20 steps": {"activation": "identity", "steps": 20},
        "relu, gradient": {"direction": "gradient", "bounds": None},
        "relu, l2": {"norm": "l2"},
        "MNIST head": {"channels": 1, "size": 28, "out_channels": 32, "padding": 0},
        "WRN head": {"out_channels": 16, "activation": "identity"},
        "four channels": {"channels": 4},
        "large images": {"batch": 8, "size": 224, "steps": 1},
        "one image": {"batch": 1, "activation": "identity"},
    }
)
GRADIENTS = (
    {f"H relu, {name}": layout for name, layout in LAYOUTS.items()}
    | {"H linear": {"activation": "identity"}, "H gelu": {"activation": "gelu"}, "H highest": {"precision": "highest"}}
)  # fmt: skip


def launches(options: dict, capability: int, derivatives: bool) -> list[Launch]:
    ascent = call(**options)
    if not derivatives:
        return plan.inner_ascent(ascent, torch.empty_like(ascent.x), capability)
    problem = HamiltonianCall(ascent.x, ascent.p, ascent.layer, ascent.precision)
    weight, bias = ascent.layer.weight, ascent.layer.bias
    return [
        *plan.weight_gradients(problem, weight, bias, capability),
        *plan.hamiltonian(problem, torch.empty(()), capability),
        *plan.input_gradient(problem, torch.empty_like(ascent.x), capability),
    ]


def main(capability: int) -> None:
    seen = set()
    for derivatives, group in ((False, ASCENTS), (True, GRADIENTS)):
        for variant, options in group.items():
            for launch in launches(options, capability, derivatives):
                arguments = launch.arguments
                name = launch.kernel.__name__
                # One and the same code is compiled once.
                constants = (
                    name,
                    "" if name == "sum_parts" else variant,
                    arguments.get("MOVE"),
                    arguments.get("ENTER"),
                )
                if constants not in seen:
                    seen.add(constants)
                    print(json.dumps({"variant": variant, **machine_code(launch, capability)._asdict()}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
