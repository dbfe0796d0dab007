# SPDX-License-Identifier: MIT
"""f0, H and the inner steps by the first layer's own modules, differentiated by autograd: what fits any layer.

One layer is computed in float32, as the kernels do. A first layer that reaches deeper is a part of the network whose
cost counts, and is computed as the network is: under autocast where the caller has it on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from . import arguments
from .arguments import Bounds, PerChannel
from .batch_statistics import BatchStatistics, held_at
from .checks import require_floating
from .compiled_regions import unwrap_compiled
from .frozen_parameters import without_weight_gradients
from .inference_mode import outside_inference_mode
from .layer_modules import weighted_layers
from .leaf_gradients import add_through_graph
from .projection import FeasibleSet, feasible_set, per_channel

Modules = Sequence[nn.Module]
Function = Callable[[Tensor], Tensor]


def evaluate(modules: Modules, u: Tensor, held: BatchStatistics) -> Tensor:
    """f0(u), batch norms held at these statistics; what the modules write to their buffers is dropped."""
    chain = nn.Sequential(*(unwrap_compiled(module) for module in modules))
    with held_at(held):
        buffers = {name: buffer.clone() for name, buffer in chain.named_buffers()}
        # A module that works in place changes a copy, and so may be given a leaf.
        return torch.func.functional_call(chain, buffers, (u.clone(),))


def hamiltonian(modules: Modules, u: Tensor, p: Tensor, held: BatchStatistics) -> Tensor:
    """H(u, p) = Σ p ⊙ f0(u), 0-d, in float32 at least; under autocast where it is on."""
    return _product(evaluate(modules, u, held), p)


def _product(output: Tensor, p: Tensor) -> Tensor:
    _require_shape("p", p, tuple(output.shape), "the first layer's output")
    kind = torch.promote_types(output.dtype, torch.float32)
    return (output.to(kind) * p.detach().to(kind)).sum()


def accumulate(modules: Modules, trained: Sequence[Tensor], u: Tensor, p: Tensor, scale: float) -> None:
    """Adds scale · ∂H/∂θ to `.grad` of the parameters `trained`."""
    with torch.enable_grad(), _precision(modules, u):
        h = hamiltonian(modules, u, p, {})
    add_through_graph([(h, torch.ones_like(h))], trained, scale)


@torch.no_grad()
@outside_inference_mode
def inner_ascent(
    modules: Modules, x: Tensor, eta: Tensor, p: Tensor, held: BatchStatistics, *, eps: PerChannel, alpha: PerChannel,
    steps: int, bounds: Bounds, norm: str, direction: str, compiled: Function | None = None,
) -> Tensor:  # fmt: skip
    """As the operator of that name; `compiled` as for `climb`."""
    require_floating("x", x, eta=eta, p=p)
    if eta.dtype != x.dtype:
        raise TypeError(f"eta: got {eta.dtype}, expected {x.dtype}, as the images have it")
    arguments.budget_rows(eps, alpha, bounds, norm, x.shape[1])
    feasible = feasible_set(x.detach(), eps, bounds, norm)
    return climb(
        modules, feasible, per_channel(alpha, x), eta, p, held, steps=steps, direction=direction, compiled=compiled
    )


@torch.no_grad()
def climb(
    modules: Modules, feasible: FeasibleSet, step_size: Tensor, eta: Tensor, p: Tensor, held: BatchStatistics,
    *, steps: int, direction: str, compiled: Function | None = None,
) -> Tensor:  # fmt: skip
    """The steps of `inner_ascent` in a set that was made before; `compiled` stands for the modules, norms held."""
    arguments.one_of("direction", direction, arguments.DIRECTIONS)
    arguments.count("steps", steps)
    x = feasible.x
    _require_shape("eta", eta, tuple(x.shape), "x")
    eta = feasible.project(eta.detach())
    with _precision(modules, x), without_weight_gradients(*modules):
        for _ in range(steps):
            with torch.enable_grad():
                leaf = eta.requires_grad_()
                if compiled is None:
                    h = hamiltonian(modules, x + leaf, p, held)
                else:
                    with held_at(held):
                        h = _product(compiled(x + leaf), p)
                g = torch.autograd.grad(h, leaf)[0]
            eta = feasible.step(eta.detach(), g, step_size, direction)
    return eta


def _precision(modules: Modules, like: Tensor) -> AbstractContextManager[object]:
    return nullcontext() if weighted_layers(modules) > 1 else torch.autocast(like.device.type, enabled=False)


def _require_shape(name: str, tensor: Tensor, expected: tuple[int, ...], whose: str) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, expected that of {whose}, {expected}")
