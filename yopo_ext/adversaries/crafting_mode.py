# SPDX-License-Identifier: MIT
"""The mode a model is in while a perturbation is crafted apart from the weight pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BN_MODES = ("train", "eval")


def batch_norm_in(bn_mode: str, model: nn.Module) -> AbstractContextManager[None]:
    """For "eval", the model's batch norms in eval mode for the block, everything else as it is; else nothing."""
    return _in_eval(m for m in model.modules() if isinstance(m, _BatchNorm)) if bn_mode == "eval" else nullcontext()


def model_in(bn_mode: str, model: nn.Module) -> AbstractContextManager[None]:
    """For "eval", the whole model in eval mode for the block, dropout included; else nothing."""
    return _in_eval(model.modules()) if bn_mode == "eval" else nullcontext()


@contextmanager
def without_weight_gradients(model: nn.Module) -> Iterator[None]:
    """No parameter requires grad in the block, so that a backward pass makes none of their gradients.

    To ask autograd for the images' gradient alone is not enough: a compiled region computes every gradient that was
    asked for when it ran forward. It also saves what the weights' gradients would need.
    """
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    switched = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in switched:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in switched:
            parameter.requires_grad_(True)


@contextmanager
def _in_eval(modules: Iterable[nn.Module]) -> Iterator[None]:
    # The flags are set one by one: modules that were in eval mode on purpose stay so afterwards.
    switched = [module for module in modules if module.training]
    try:
        for module in switched:
            module.training = False
        yield
    finally:
        for module in switched:
            module.training = True
