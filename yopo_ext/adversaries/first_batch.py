# SPDX-License-Identifier: MIT
"""What would make YOPO silently wrong, checked once, on the first batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from yopo_ext.adversaries.random_start import Bounds
from yopo_ext.first_layer import FirstLayer
from yopo_ext.projection import per_channel


def check_first_batch(x: Tensor, bounds: Bounds) -> None:
    """Check that images x (B, C, H, W) lie inside `bounds`; waits for the device once.

    Raises:
        ValueError: they do not; says what to pass for normalised images.
    """
    if bounds is None or x.numel() == 0:
        return
    low, high = (per_channel(bound, x) for bound in bounds)
    slack = 1e-5 * (high - low)
    if bool(((x < low - slack) | (x > high + slack)).any()):
        raise ValueError(
            f"x: got images from {x.min():.4g} to {x.max():.4g}, expected them inside bounds={bounds}. "
            "If they are normalised, either leave that to the model and make it part of first_layer, or pass "
            "bounds=((0 - mean) / std, (1 - mean) / std), eps / std and alpha / std, one value per channel; "
            "bounds=None means no box"
        )


@contextmanager
def expect_input(first_layer: FirstLayer, expected: Tensor) -> Iterator[None]:
    """Check that the first layer's input in the block is `expected`, up to the rounding of a half precision.

    Raises:
        RuntimeError: it is not, so that ascent inside the first layer would not be ascent on the images.
    """

    def check(module: nn.Module, args: tuple[object, ...]) -> None:
        given = args[0] if args else None
        if given is expected or not isinstance(given, Tensor):
            return
        same_shape = given.shape == expected.shape
        if same_shape and torch.allclose(given.detach().to(expected.dtype), expected, rtol=1e-2, atol=1e-2):
            return
        raise RuntimeError(
            f"the first layer ({type(module).__name__}) receives something else than x + eta"
            + ("" if same_shape else f", shape {tuple(given.shape)} for {tuple(expected.shape)}")
            + ": whatever the model applies before it (normalisation?) belongs into first_layer, as in "
            "first_layer=(model.normalize, model.conv1)"
        )

    handle = first_layer.modules[0].register_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()
