# SPDX-License-Identifier: MIT
"""A network as other packages' attacks want it: it returns logits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from .image_batch import ImageBatch


class LogitsNetwork(nn.Module):
    """Returns the logits of whatever the network returns, (B, K), whose largest is the predicted class.

    Args:
        model: in evaluation mode.
        images: whose objective reads the outputs.
    """

    def __init__(self, model: nn.Module, images: ImageBatch) -> None:
        super().__init__()
        self.model, self.images = model, images
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.images.logits(self.model(x), len(x))


@contextlib.contextmanager
def generators_restored(device: torch.device) -> Iterator[None]:
    """The global generators of torch and numpy, from which packages draw, are afterwards as before."""
    numpy_state = np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(numpy_state)
