# SPDX-License-Identifier: MIT
"""Small networks, batches, a hook that counts full passes, and whether a pass that failed has touched a network."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def relu_net(dropout: float = 0.0) -> nn.Sequential:
    """Nonlinear first layer, batch norm and dropout behind it; 2×6×6 images, 3 classes; float64."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Dropout(dropout), nn.Flatten(), nn.Linear(64, 3)
    ).double()


def batch(count: int = 6, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(count) % 3


def seeded(seed: int = 2) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


class Passes:
    """Forward passes, and backward passes that reached the last layer."""

    forward = 0
    backward = 0
    training: list[bool]


@contextmanager
def counted(model: nn.Sequential) -> Iterator[Passes]:
    passes = Passes()
    passes.training = []

    def forward(module, args, output):
        passes.forward += 1
        passes.training.append(module.training)

    def backward(module, gradient):
        passes.backward += 1

    handles = [model[-1].register_forward_hook(forward), model[-1].register_full_backward_pre_hook(backward)]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def untouched(model: nn.Module) -> dict:
    """Gives every second parameter a gradient, and says what require_untouched is to find."""
    before = {}
    for index, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, 3.0) if index % 2 else None
        before[parameter] = (parameter.grad, parameter.requires_grad)
    return before


def require_untouched(model: nn.Module, before: dict) -> None:
    """Parameters are as they were, and no hook is left."""
    for parameter, (grad, requires_grad) in before.items():
        assert parameter.grad is grad
        assert parameter.requires_grad == requires_grad
        assert grad is None or (grad == 3).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
