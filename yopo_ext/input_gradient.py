# SPDX-License-Identifier: MIT
"""Whether steps inside the first layer climb the loss: the input gradient against the first layer's adjoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .autocast_cache import autocast_cache
from .batch_statistics import BatchStatistics
from .first_layer import FirstLayer

#: Relative errors that rounding explains: in float32, TF32 included; in half precision.
TOLERANCE, HALF_TOLERANCE = 0.02, 0.2


def input_gradient_error(
    first_layer: FirstLayer,
    u: Tensor,
    p: Tensor,
    gradient: Tensor | None,
    half: torch.dtype | None = None,
    statistics: BatchStatistics | None = None,
) -> float | None:
    """‖∂L/∂u − ∂H(u, p)/∂u‖ over the larger of the two norms; waits for the device.

    It is at the level of rounding if and only if the first layer is the one way from the images to the loss and is read
    as the network computes it, 0.7 to 1 where it is not. Call it in the mode and on the weights of the pass.

    In half precision a ReLU may be open in the pass and shut in float32, which says nothing about either question. So
    each is asked alone, of like with like, and the larger error counts: the gradient against the modules' adjoint under
    autocast, and the modules' adjoint in float32 against the one that is read from them. Where batch norm in training
    mode is held at the statistics of the pass, so is it for the second question, and a third one is asked: whether f0
    at u is then what it was.

    Args:
        first_layer: f0; H(u, p) = Σ p ⊙ f0(u).
        u: the images (B, C, H, W) that the network was given.
        p: ∂L/∂f0 of that pass.
        gradient: ∂L/∂u of that pass; None where the loss does not depend on u.
        half: what autocast computed that pass in, if so.
        statistics: what batch norms normalised with in that pass (`Costate.statistics`).

    Returns:
        None where there is nothing to compare: both are 0, or not finite.

    Raises:
        ValueError: p is not shaped like the first layer's output.
    """
    gradient = torch.zeros_like(u) if gradient is None else gradient.detach()
    as_read = adjoint(first_layer.hamiltonian, u, p, statistics=statistics)
    if half is None and not statistics:
        return relative_error(gradient, as_read)
    by_modules = first_layer.hamiltonian_of_modules
    with _pass_precision(u, half):
        errors = [relative_error(gradient, adjoint(by_modules, u, p))]
    with torch.autocast(u.device.type, enabled=False):
        errors.append(relative_error(adjoint(by_modules, u, p, statistics=statistics), as_read))
        if statistics:
            with torch.no_grad():
                errors.append(relative_error(first_layer.evaluate(u), first_layer.evaluate(u, statistics)))
    return max((error for error in errors if error is not None), default=None)


@contextmanager
def _pass_precision(u: Tensor, half: torch.dtype | None) -> Iterator[None]:
    with torch.autocast(u.device.type, half, enabled=half is not None), autocast_cache(enabled=False):
        yield


def adjoint(hamiltonian: Callable[..., Tensor], u: Tensor, p: Tensor, **statistics: BatchStatistics | None) -> Tensor:
    """∂H/∂u, like u: where H is that of the first layer at the pass's u and p, the network's input gradient."""
    with torch.enable_grad():
        leaf = u.detach().requires_grad_()
        value = hamiltonian(leaf, p.detach(), **statistics)
        with torch.autocast(u.device.type, enabled=False):
            return torch.autograd.grad(value, leaf)[0]


def relative_error(one: Tensor, other: Tensor) -> float | None:
    """The norm of the difference over the larger of the two norms; None where both are 0, or not finite."""
    one, other = one.double(), other.double()
    # One copy for all three: each of them would wait.
    difference, *sizes = torch.stack([(one - other).norm(), one.norm(), other.norm()]).tolist()
    largest = max(sizes)
    return difference / largest if 0 < largest < float("inf") and difference == difference else None


def require_input_gradient(
    first_layer: FirstLayer,
    u: Tensor,
    p: Tensor,
    gradient: Tensor | None,
    statistics: BatchStatistics | None = None,
) -> bool:
    """Whether there was anything to compare; the error found is kept for `FirstLayer.explain`.

    Arguments as for `input_gradient_error`, in the autocast region of the pass.

    Raises:
        RuntimeError: the error is above 0.02, or in half precision above 0.2, so that YOPO would not climb the loss.
    """
    half = _half_precision(u, p)
    try:
        error = input_gradient_error(first_layer, u, p, gradient, half, statistics)
    except ValueError as reason:
        raise RuntimeError(f"first_layer {first_layer.names}: {reason}: the model calls something in between") from None
    if error is None:
        return False
    first_layer.input_gradient_error = error
    tolerance = TOLERANCE if half is None else HALF_TOLERANCE
    if error > tolerance:
        held = (
            ". Or its batch norm does something else than to normalise, and cannot be held at the statistics of the "
            'pass: pass bn_statistics="batch"'
        )
        raise RuntimeError(
            f"first_layer {first_layer.names}: its adjoint applied to p is not the network's input gradient: relative "
            f"error {error:.2f}, expected at most {tolerance:g}, so that steps inside the first layer would not climb "
            "the loss. Either the images reach the loss past first_layer too (a skip connection from the input, an "
            "ensemble of which one member was named): make one module of all that they enter, and name that. Or "
            "first_layer computes something else than is read from it: name what comes before it (normalisation?) as "
            "in first_layer=(model.normalize, model.conv1), keep dropout out of it, and give a module the attributes "
            f"mean and std only if it computes (x - mean) / std{held if statistics else ''}"
        )
    return True


def _half_precision(u: Tensor, p: Tensor) -> torch.dtype | None:
    if torch.is_autocast_enabled(u.device.type):
        return torch.get_autocast_dtype(u.device.type)
    return p.dtype if p.element_size() < 4 else None  # autocast inside the model
