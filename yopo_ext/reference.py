# SPDX-License-Identifier: MIT
"""The inner loop and the Hamiltonian in the plainest torch code, any dtype and device: the oracle of the tests.

Nothing here is fast. Every step evaluates the layer, and every derivative is autograd's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activation import Activation, parse_activation
from .projection import feasible_set, per_channel


def first_layer(
    u: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    activation: str | nn.Module | Activation = "identity",
    mean: object = None,
    std: object = None,
) -> Tensor:
    """f0(u) = act(conv((u − mean)/std; W) + b). Zeros are padded after normalisation.

    Arguments as of `yopo_ext.hamiltonian`, u (B, C, H, W) of any floating point dtype, which the result has. As
    everywhere here nothing is checked: what torch raises, it raises.
    """
    if mean is not None:
        u = u - per_channel(mean, u)  # type: ignore[arg-type]
    if std is not None:
        u = u / per_channel(std, u)  # type: ignore[arg-type]
    return parse_activation(activation)(F.conv2d(u, weight, bias, stride, padding, dilation))


def hamiltonian(u: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None = None, **layer: object) -> Tensor:
    """H(u, p) = Σ p ⊙ f0(u), a 0-d tensor; p (B, O, H', W') is shaped like f0(u), ``layer`` as of `first_layer`."""
    return (p.to(u.dtype) * first_layer(u, weight, bias, **layer)).sum()  # type: ignore[arg-type]


def input_gradient(u: Tensor, p: Tensor, weight: Tensor, bias: Tensor | None = None, **layer: object) -> Tensor:
    """g = ∂H/∂u, shaped like u and of its dtype. Arguments as of `hamiltonian`."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        return torch.autograd.grad(hamiltonian(u, p.detach(), weight, bias, **layer), u)[0]


@torch.no_grad()
def inner_ascent(
    x: Tensor,
    eta: Tensor,
    p: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    eps: object,
    alpha: object,
    steps: int,
    bounds: tuple[object, object] | None = (0.0, 1.0),
    norm: str = "linf",
    direction: str = "sign",
    **layer: object,
) -> Tensor:
    """n projected ascent steps on H with p frozen (the inner loop of YOPO-m-n, paper section 2.2).

    Arguments and result as of `yopo_ext.inner_ascent`, in x's dtype throughout.
    """
    feasible = feasible_set(x, eps, bounds, norm)
    step_size = per_channel(alpha, x)  # type: ignore[arg-type]
    eta = feasible.project(eta)
    for _ in range(steps):
        g = input_gradient(x + eta, p, weight, bias, **layer)
        eta = feasible.step(eta, g, step_size, direction)
    return eta
