# SPDX-License-Identifier: MIT
"""What is put around a whole network, so that many devices or torch.compile run it."""

from __future__ import annotations

from typing import Any

from torch import nn

from .compiled_regions import unwrap_compiled

_DATA_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, without what data parallelism or torch.compile put around it."""
    inner: Any = model.module if isinstance(model, _DATA_PARALLEL) else model
    return unwrap_compiled(inner)


def root_of(model: nn.Module) -> str:
    """What stands before the network's own module names in those of the model."""
    return "module." if isinstance(model, _DATA_PARALLEL) else ""
