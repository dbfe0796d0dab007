# SPDX-License-Identifier: MIT
"""The first layer's activation: a kind and up to three parameters, as torch defines them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

aten = torch.ops.aten

# scale and scale * alpha of torch.nn.SELU
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

#: The kinds the kernels know, in the order of the native enum; celu and selu are elu with other parameters.
KINDS = (
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "tanh",
    "sigmoid",
)


@dataclass(frozen=True, slots=True)
class Activation:
    """act(z) for one of KINDS, with the parameters the kernels take.

    leaky_relu: (negative slope,); softplus: (beta, threshold);
    elu: (a, b, c) for a·(exp(b·z) − 1) where z ≤ 0 and c·z elsewhere.
    """

    kind: str
    parameters: tuple[float, ...] = ()

    def __call__(self, z: Tensor) -> Tensor:
        return _FORWARD[self.kind](z, *self.parameters)

    def vjp(self, p: Tensor, z: Tensor) -> Tensor:
        """p ⊙ act'(z) by torch's own derivative."""
        return _VJP[self.kind](p, z, *self.parameters)

    @property
    def derivative_jumps(self) -> bool:
        """Whether act' is discontinuous at 0."""
        if self.kind == "elu":
            a, b, c = self.parameters
            return a * b != c
        return self.kind in ("relu", "leaky_relu")


def _elu(z: Tensor, a: float, b: float, c: float) -> Tensor:
    return aten.elu(z, a / c, c, b)


_FORWARD: dict[str, Callable[..., Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": lambda z, slope: F.leaky_relu(z, slope),
    "elu": _elu,
    "gelu": lambda z: F.gelu(z),
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "softplus": lambda z, beta, threshold: F.softplus(z, beta, threshold),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

_VJP: dict[str, Callable[..., Tensor]] = {
    "identity": lambda p, z: p,
    "relu": lambda p, z: aten.threshold_backward(p, z, 0),
    "leaky_relu": lambda p, z, slope: aten.leaky_relu_backward(p, z, slope, False),
    "elu": lambda p, z, a, b, c: aten.elu_backward(p, a / c, c, b, False, z),
    "gelu": lambda p, z: aten.gelu_backward(p, z),
    "gelu_tanh": lambda p, z: aten.gelu_backward(p, z, approximate="tanh"),
    "silu": lambda p, z: aten.silu_backward(p, z),
    "softplus": lambda p, z, beta, threshold: aten.softplus_backward(p, z, beta, threshold),
    "tanh": lambda p, z: aten.tanh_backward(p, torch.tanh(z)),
    "sigmoid": lambda p, z: aten.sigmoid_backward(p, torch.sigmoid(z)),
}

#: The names `activation=` takes, with torch's default parameters.
NAMES: dict[str, Activation] = {
    "identity": Activation("identity"),
    "relu": Activation("relu"),
    "leaky_relu": Activation("leaky_relu", (0.01,)),
    "elu": Activation("elu", (1.0, 1.0, 1.0)),
    "celu": Activation("elu", (1.0, 1.0, 1.0)),
    "selu": Activation("elu", (_SELU_SCALE * _SELU_ALPHA, 1.0, _SELU_SCALE)),
    "gelu": Activation("gelu"),
    "silu": Activation("silu"),
    "softplus": Activation("softplus", (1.0, 20.0)),
    "tanh": Activation("tanh"),
    "sigmoid": Activation("sigmoid"),
}


def _from_gelu(module: nn.GELU) -> Activation:
    return Activation("gelu_tanh" if module.approximate == "tanh" else "gelu")


_MODULES: dict[type[nn.Module], Callable[..., Activation]] = {
    nn.Identity: lambda module: NAMES["identity"],
    nn.ReLU: lambda module: NAMES["relu"],
    nn.LeakyReLU: lambda module: Activation("leaky_relu", (float(module.negative_slope),)),
    nn.ELU: lambda module: Activation("elu", (float(module.alpha), 1.0, 1.0)),
    nn.CELU: lambda module: Activation("elu", (float(module.alpha), 1.0 / float(module.alpha), 1.0)),
    nn.SELU: lambda module: NAMES["selu"],
    nn.GELU: _from_gelu,
    nn.SiLU: lambda module: NAMES["silu"],
    nn.Softplus: lambda module: Activation("softplus", (float(module.beta), float(module.threshold))),
    nn.Tanh: lambda module: NAMES["tanh"],
    nn.Sigmoid: lambda module: NAMES["sigmoid"],
}


def parse_activation(activation: str | nn.Module | Activation) -> Activation:
    """The activation by its name, or as a torch.nn module whose parameters are read.

    Raises:
        ValueError: a name that is not one of NAMES.
        TypeError: a module (or anything else) that has no counterpart here.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation not in NAMES:
            raise ValueError(f"activation: got {activation!r}, expected one of {', '.join(NAMES)}")
        return NAMES[activation]
    read = _MODULES.get(type(activation))
    if read is None:
        raise TypeError(
            f"activation: got {type(activation).__name__}, expected a name ({', '.join(NAMES)}) "
            f"or an instance of {', '.join(f'nn.{module.__name__}' for module in _MODULES)}"
        )
    return read(activation)
