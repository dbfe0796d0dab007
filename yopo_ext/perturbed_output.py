# SPDX-License-Identifier: MIT
"""Perturbations of hidden layers: added to what a module returns, without touching the model's code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn

from .compiled_regions import refuse_compilation
from .inference_mode import out_of_inference_mode


@contextmanager
def perturb_output(module: nn.Module, eta: Tensor) -> Iterator[None]:
    """Add η to the output of the module's one call in the block::

        eta = torch.zeros_like(hidden, requires_grad=True)
        with perturb_output(model.layer1, eta):
            criterion(model(x), y).backward()
        eta.grad  # the gradient at the layer's output, as `capture_costate` finds it

    Gradients flow to η where it requires them, and through the module as ever. The output keeps its dtype (half
    precision under autocast); the feasible set of such an η is `Ball.feasible_set(output)`. Inside
    `torch.inference_mode` the block leaves it if η requires grad.

    Args:
        module: called once in the block, returns a tensor.
        eta: shaped like that tensor.

    Raises:
        RuntimeError: the module was never called, called again, called inside a compiled region, or returned no tensor.
        TypeError: eta is no floating point tensor.
        ValueError: eta has another shape than the output; it is not broadcast.
    """
    if not isinstance(eta, Tensor) or not eta.is_floating_point():
        given = eta.dtype if isinstance(eta, Tensor) else type(eta).__name__
        raise TypeError(f"eta: got {given}, expected a floating point tensor like the module's output")
    name = type(module).__name__
    calls = 0

    def add(module: nn.Module, args: tuple[object, ...], output: object) -> Tensor:
        nonlocal calls
        refuse_compilation(f"the module ({name})", "its output cannot be perturbed", "it")
        calls += 1
        if calls > 1:
            raise RuntimeError(f"the module ({name}) was called again, expected one call in the block")
        if not isinstance(output, Tensor):
            raise RuntimeError(f"the module ({name}) returned a {type(output).__name__}, expected a Tensor")
        if output.shape != eta.shape:
            raise ValueError(
                f"eta: got shape {tuple(eta.shape)}, expected {tuple(output.shape)}, that of the output of {name}"
            )
        return output + eta.to(output.dtype)

    handle = module.register_forward_hook(add)
    try:
        with out_of_inference_mode() if eta.requires_grad else nullcontext():
            yield
    finally:
        handle.remove()
    if calls == 0:
        raise RuntimeError(
            f"the module ({name}) was never called, so nothing was perturbed: the model does not use it, or it runs "
            "inside a compiled region"
        )
