# SPDX-License-Identifier: MIT
"""Composed of torch operations: any shape, any device, any dtype. What runs where no kernel does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..projection import FeasibleSet, feasible_set
from .call import Call, HamiltonianCall, InnerAscentCall, Layer, rows
from .precision import convolution_precision

#: Its gradients of the first layer are the convolution library's.
fuses_gradient = False
#: `can_run` is asked once about calls alike.
steady = True


def can_run(call: Call) -> str | None:
    return None


def _normalized(u: Tensor, layer: Layer) -> Tensor:
    tensors = layer.normalization_tensors(u)
    return u if tensors is None else (u - tensors[0]) / tensors[1]


def _convolution(v: Tensor, layer: Layer) -> Tensor:
    return F.conv2d(v, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation)


def _convolution_gradients(
    q: Tensor, v: Tensor, layer: Layer, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of Σ q ⊙ conv(v) with respect to (v, weight, bias)."""
    return torch.ops.aten.convolution_backward(
        q,
        v,
        layer.weight,
        [q.shape[1]],
        layer.stride,
        layer.padding,
        layer.dilation,
        False,
        [0, 0],
        1,
        list(wanted),
    )


def _input_gradient(u: Tensor, p: Tensor, layer: Layer) -> Tensor:
    v = _normalized(u, layer)
    linear = layer.activation.kind == "identity"
    q = p if linear else layer.activation.vjp(p, _convolution(v, layer))
    g, _, _ = _convolution_gradients(q, v, layer, (True, False, False))
    tensors = layer.normalization_tensors(u)
    return g if tensors is None else g / tensors[1]


def _feasible_set(call: InnerAscentCall) -> tuple[FeasibleSet, Tensor]:
    eps, alpha, *box = rows(call.budget, call.x)
    return feasible_set(call.x, eps, (box[0], box[1]) if box else None, call.norm), alpha


def inner_ascent(call: InnerAscentCall) -> Tensor:
    x, layer = call.x, call.layer
    feasible, alpha = _feasible_set(call)
    p = call.p.to(x.dtype)
    eta = feasible.project(call.eta)
    with convolution_precision(call.precision):
        g = None
        for _ in range(call.steps):
            # A linear layer's gradient does not depend on eta: one adjoint serves all steps.
            if g is None or layer.activation.kind != "identity":
                g = _input_gradient(x + eta, p, layer)
            eta = feasible.step(eta, g, alpha, call.direction)
    return eta


def hamiltonian(call: HamiltonianCall) -> Tensor:
    with convolution_precision(call.precision):
        z = _convolution(_normalized(call.u, call.layer), call.layer)
    return (call.p.to(z.dtype) * call.layer.activation(z)).sum()


def hamiltonian_gradients(
    call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    need_weight, need_bias, need_input = wanted
    layer = call.layer
    p = call.p.to(call.u.dtype)
    with convolution_precision(call.precision):
        v = _normalized(call.u, layer)
        q = p if layer.activation.kind == "identity" else layer.activation.vjp(p, _convolution(v, layer))
        g, grad_weight, grad_bias = _convolution_gradients(q, v, layer, (need_input, need_weight, need_bias))
    if need_input and (tensors := layer.normalization_tensors(call.u)) is not None:
        g = g / tensors[1]
    return (
        grad_weight if need_weight else None,
        grad_bias if need_bias else None,
        g if need_input else None,
    )
