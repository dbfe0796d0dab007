# SPDX-License-Identifier: MIT
"""The public operators. Their arguments are written in reading.py, their torch.library side in operators.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from . import backends, operators, prepared_call, reading
from .backends.call import Call
from .checks import check_inner_ascent

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _takes(
    reader: Callable[Arguments, Any], *further: Parameter
) -> Callable[[Callable[..., Result]], Callable[Arguments, Result]]:
    """Decorator: the function's arguments are those of the reader, for type checkers, `help` and documentation too."""

    def signed(function: Callable[..., Result]) -> Callable[Arguments, Result]:
        taken = signature(reader)
        function.__signature__ = taken.replace(  # type: ignore[attr-defined]
            parameters=[*taken.parameters.values(), *further],
            return_annotation=signature(function).return_annotation,
        )
        return function

    return signed


@_takes(reading.inner_ascent)
def inner_ascent(*args: Any, **options: Any) -> Tensor:
    """n projected ascent steps on H(x + η, p) = Σ p ⊙ f0(x + η), the co-state p frozen, in one kernel.

    This is the inner loop of YOPO-m-n (Zhang et al., NeurIPS 2019, section 2.2), with f0(u) =
    act(conv((u − mean)/std; weight) + bias). η is projected to the feasible set on entry and after each step:
    the ball of radius eps, cut down to the box bounds around x.

    Args:
        x: clean images (B, C, H, W), float32 or float64, in the units of `bounds`.
        eta: the perturbation to start from, like x.
        p: ∂L/∂f0 (B, K, H', W'), the gradient of the loss at the first layer's output, so that the steps increase L;
            float32, bfloat16 or float16 beside float32 images, else float64. NCHW or channels-last is read as it lies.
        weight, bias: the convolution's (K, C, kh, kw) and (K,), of x's dtype.
        eps: radius >= 0; alpha: step size, of any sign. A float or one per channel; a single one with norm="l2".
        steps: n >= 0; 0 only projects.
        stride, padding, dilation: the convolution's, an int or a pair; zeros are padded after normalisation.
        activation: "identity", "relu", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "softplus", "tanh",
            "sigmoid", or an instance of the matching torch.nn module.
        mean, std: the normalisation inside the layer, a float or one per channel.
        bounds: the box (low, high) of valid images, each a float or one per channel; None: no box.
        norm: "linf", or "l2" per sample.
        direction: "sign" (l2: the normalised gradient), or "gradient" for the gradient itself.
        precision: "highest" (float32 multiply-accumulate), "high" (multiplicands of 10 mantissa bits allowed), or
            None for torch's setting for convolutions.
        backend: "cuda", "triton", "cpu", "torch"; None: what YOPO_EXT_BACKEND says, else the first that can run it.

    Returns:
        The new perturbation, like empty_like(eta); it never requires grad. Inputs are not modified.

    Raises:
        TypeError, ValueError, RuntimeError: naming the argument, what was given and what was expected; RuntimeError
            also for an explicit backend that cannot run the call, with its reason.
    """
    return packed_inner_ascent(args, options)


def packed_inner_ascent(args: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
    """`inner_ascent(*args, **options)` for those who have them packed."""
    if not torch.compiler.is_compiling():
        return prepared_call.inner_ascent(args, options)
    return operators.run_inner_ascent(reading.inner_ascent(*args, **options), options.get("backend"))


@_takes(reading.hamiltonian)
def hamiltonian(*args: Any, **options: Any) -> Tensor:
    """H(u, p) = Σ p ⊙ f0(u), whose derivative is the first layer's own gradient (YOPO, paper section 2).

    Arguments as for `inner_ascent`; u = x + η is (B, C, H, W).

    Returns:
        A 0-d tensor of u's dtype, once differentiable in weight, bias and u (p is a constant).

    Raises:
        TypeError, ValueError, RuntimeError: as `inner_ascent`.
    """
    return operators.run_hamiltonian(reading.hamiltonian(*args, **options), options.get("backend"))


@_takes(reading.hamiltonian, Parameter("need_input", Parameter.KEYWORD_ONLY, default=False, annotation="bool"))
def hamiltonian_gradients(*args: Any, **options: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """∂H/∂weight, ∂H/∂bias (None without a bias) and, if `need_input`, ∂H/∂u, without evaluating H itself.

    Arguments and errors as for `hamiltonian`. The results do not require grad.
    """
    return packed_hamiltonian_gradients(args, options, options.pop("need_input", False))


def packed_hamiltonian_gradients(
    args: tuple[Any, ...], options: dict[str, Any], need_input: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """`hamiltonian_gradients` likewise."""
    if not torch.compiler.is_compiling():
        return prepared_call.hamiltonian_gradients(args, options, need_input)
    call = reading.hamiltonian(*args, **options)
    has_bias = call.layer.bias is not None
    grads = operators.run_hamiltonian_gradients(call, options.get("backend"), [True, has_bias, need_input])
    return grads[0], grads[1] if has_bias else None, grads[2] if need_input else None


@dataclass(frozen=True)
class Explanation:
    """Which backend a call would run on, and for each other one why not."""

    backend: str
    others: dict[str, str]
    kernel: str = ""  # which of the backend's kernels, where it has several

    def __str__(self) -> str:
        runs_on = f"{self.backend} ({self.kernel})" if self.kernel else self.backend
        return "\n".join([f"runs on: {runs_on}", *(f"not on {name}: {why}" for name, why in self.others.items())])


@_takes(reading.inner_ascent)
def explain(*args: Any, **options: Any) -> Explanation:
    """Which backend `inner_ascent` with the same arguments would run on, and why no other. Runs nothing.

    Raises:
        as `inner_ascent`.
    """
    call = reading.inner_ascent(*args, **options)
    check_inner_ascent(call)
    return _explanation(call, options.get("backend"))


def _explanation(call: Call, backend: str | None) -> Explanation:
    chosen = backends.select(call, backend)
    candidates = {name: backends.get(name) for name in backends.names()}
    chosen_name = next(name for name, candidate in candidates.items() if candidate is chosen)
    others = {name: candidate for name, candidate in candidates.items() if candidate is not chosen}
    why_not = {name: other.can_run(call) or "it could, but was not asked for" for name, other in others.items()}
    return Explanation(chosen_name, why_not, chosen.kernel(call) if hasattr(chosen, "kernel") else "")
