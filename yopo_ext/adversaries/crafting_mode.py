# SPDX-License-Identifier: MIT
"""The mode a model is in while a perturbation is crafted apart from the weight pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..module_modes import modes_kept

BN_MODES = ("train", "eval")
#: Of the TRADES methods, which craft with the whole network in one mode, as published.
MODEL_MODE_HELP = "mode of the whole network while crafting, its dropout too, eval where not given"


def batch_norm_in(bn_mode: str, model: nn.Module) -> AbstractContextManager[None]:
    """For "eval", the model's batch norms in eval mode for the block, everything else as it is; else nothing."""
    return _in_eval(m for m in model.modules() if isinstance(m, _BatchNorm)) if bn_mode == "eval" else nullcontext()


def model_in(bn_mode: str, model: nn.Module) -> AbstractContextManager[None]:
    """For "eval", the whole model in eval mode for the block, dropout included; else nothing."""
    return _in_eval(model.modules()) if bn_mode == "eval" else nullcontext()


@contextmanager
def _in_eval(modules: Iterable[nn.Module]) -> Iterator[None]:
    modules = list(modules)
    with modes_kept(modules):
        for module in modules:
            module.training = False
        yield
