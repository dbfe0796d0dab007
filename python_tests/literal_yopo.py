# SPDX-License-Identifier: MIT
"""One mini-batch of YOPO-m-n as its authors train, step by step in plain PyTorch: no hook, no operator, no shortcut.

Their conventions are kept: p is minus the gradient of the loss, η goes down the Hamiltonian, each step is clamped by
clamp(x + η) − x, and autograd differentiates through that clamp. The network is cut in two by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class CutNetwork:
    """model(u) = rest(first(u)); `parameters` are those of `first`."""

    model: nn.Module
    first: Callable[[Tensor], Tensor]
    rest: Callable[[Tensor], Tensor]
    parameters: tuple[nn.Parameter, ...]


@dataclass(frozen=True)
class Step:
    """One inner step of one full pass: η before it, ∂L/∂f0, g = ∂H/∂η in ascent, and η after it."""

    full_pass: int
    number: int
    eta: Tensor
    costate: Tensor
    g: Tensor
    eta_after: Tensor


def mini_batch(
    network: CutNetwork,
    x: Tensor,
    y: Tensor,
    *,
    m: int,
    n: int,
    eps: float,
    alpha: float,
    first_layer_grad: str,
    generator: torch.Generator,
    take_over: Callable[[Step], Tensor],
) -> None:
    """Sums the gradients of the m passes in `.grad`; `take_over(step)` says from which η to go on after a step.

    As the authors run it, the first layer gets the ordinary gradient and the Hamiltonian's ("both"); "hamiltonian"
    takes the ordinary one back, "backprop" never adds the other.
    """
    eta = torch.empty_like(x).uniform_(-eps, eps, generator=generator)
    eta = torch.clamp(x + eta, 0, 1) - x
    for j in range(m):
        gradients_before = [None if w.grad is None else w.grad.clone() for w in network.parameters]
        output = network.first(x + eta)
        output.retain_grad()
        cross_entropy(network.rest(output), y).backward()
        p = -1.0 * output.grad
        if first_layer_grad == "hamiltonian":
            for w, grad in zip(network.parameters, gradients_before, strict=True):
                w.grad = grad
        for number in range(n):
            eta = eta.detach().requires_grad_()
            hamiltonian = (p * network.first(torch.clamp(x + eta, 0, 1))).sum()
            (g,) = torch.autograd.grad(hamiltonian, eta)
            before_step = eta.detach()
            eta = torch.clamp(before_step - alpha * g.sign(), -eps, eps)
            eta = torch.clamp(x + eta, 0, 1) - x
            eta = take_over(Step(j, number, before_step, -p, -g, eta))
        if first_layer_grad != "backprop":
            (-1.0 * (p * network.first(torch.clamp(x + eta, 0, 1))).sum()).backward()
