# SPDX-License-Identifier: MIT
"""Putting a network into evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..frozen_parameters import without_weight_gradients
from ..inference_mode import require_ordinary
from ..module_modes import modes_kept


@contextmanager
def frozen_eval(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without parameter gradients; afterwards every module's mode and every parameter is as before.

    Each module's own mode is kept, because parts of a network may be in evaluation mode on purpose. Raises
    ``TypeError`` for a model that is no module, ``RuntimeError``, outside of inference mode, for one made in it.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got a {type(model).__name__}, expected a torch.nn.Module")
    if not torch.is_inference_mode_enabled():  # in it such a model can be measured, if not attacked
        require_ordinary(model)
    with modes_kept(model.modules()), without_weight_gradients(model):
        model.eval()
        yield
