# SPDX-License-Identifier: MIT
"""The networks' activation functions, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

#: Those that Pang et al. ("Bag of Tricks for Adversarial Training", ICLR 2021, section 3.2) compare, with torch's
#: default parameters; the names are those of `yopo_ext.inner_ascent`.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def make_activation(name: str, *, inplace: bool = False) -> nn.Module:
    """A new module, so that each use in a network has its own and a hook on one sees that one only.

    ``inplace`` asks to save memory; only ReLU does, for the others' gradients may need their input. Raises
    ``ValueError`` for an unknown name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: got {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return nn.ReLU(inplace=inplace) if name == "relu" else ACTIVATIONS[name]()
