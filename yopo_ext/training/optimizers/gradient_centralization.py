# SPDX-License-Identifier: MIT
"""Gradient centralisation (Yong, Huang, Hua, Zhang, ECCV 2020): weight steps without a mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: What is centralised: nothing, the convolutions' weights ("SGD-GCC"), or those of all layers ("SGD-GC").
CENTRALIZED = ("none", "convolutions", "all")
# A convolution's weights have the outputs, the inputs and the kernel's sides for dimensions; a linear layer's have two.
_LEAST_DIMENSIONS = {"convolutions": 4, "all": 2}


def centralize(optimizer: torch.optim.Optimizer, which: str) -> None:
    """From now on takes the mean out of what the optimiser descends, before each of its steps.

    The mean of each output's weights, over all dimensions but the first, of the gradient and of the weight decay that
    the optimiser adds to it, as the authors' code does; so the mean of an output's weights never changes. Gradients are
    changed in place. Biases and normalisations, of one dimension, are left alone.

    Args:
        optimizer: one whose groups' "weight_decay" is added to the gradient, as torch's SGD.
        which: one of `CENTRALIZED`.

    Raises:
        ValueError: another word.
    """
    if which not in CENTRALIZED:
        raise ValueError(f"which: got {which!r}, expected one of {', '.join(CENTRALIZED)}")
    if which == "none":
        return
    least = _LEAST_DIMENSIONS[which]

    @torch.no_grad()
    def before_step(stepped: torch.optim.Optimizer, *_: Any) -> None:
        for group in stepped.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.dim() >= least:
                    weight.grad.sub_(output_means(weight.grad.add(weight, alpha=group["weight_decay"])))

    optimizer.register_step_pre_hook(before_step)


def output_means(weights: Tensor) -> Tensor:
    """The mean over all dimensions but the first, which are kept, of size 1."""
    return weights.mean(dim=tuple(range(1, weights.dim())), keepdim=True)
