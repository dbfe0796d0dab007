# SPDX-License-Identifier: MIT
"""Steps of training as they were published, in plain PyTorch, and the network and batch that they are timed on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import FGSM
from yopo_ext.models import SmallCNN

EPS = 0.3
IMAGES = 64
Step = Callable[[], object]


def patterns(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of ten classes, each with strong strokes of its own, and noise."""
    strokes = torch.rand(10, 1, 7, 7, generator=torch.Generator().manual_seed(0)) > 0.6
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (count,), generator=generator)
    x = strokes[y].float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    return (0.85 * x + 0.15 * torch.rand(x.shape, generator=generator)), y


def trained() -> nn.Module:
    torch.manual_seed(0)
    model = SmallCNN().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    adversary = FGSM(model, Ball(EPS, 1.25 * EPS), generator=torch.Generator().manual_seed(0))
    for number in range(60):
        optimizer.zero_grad()
        adversary.accumulate(*patterns(IMAGES, number))
        optimizer.step()
    return model.eval()


class Training:
    """A copy of the network with its optimiser, and one batch: what each step of training begins from."""

    def __init__(self, model: nn.Module, images: int = IMAGES) -> None:
        self.model = copy.deepcopy(model).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.x, self.y = patterns(images, 1000)

    def ours(self, adversary: Any) -> Step:
        def step() -> None:
            for _ in range(adversary.replays):
                self.optimizer.zero_grad()
                adversary.accumulate(self.x, self.y)
                self.optimizer.step()

        return step

    def descend(self, images: Tensor) -> None:
        self.optimizer.zero_grad()
        cross_entropy(self.model(images), self.y).backward()
        self.optimizer.step()


def published_pgd(training: Training) -> Step:
    """Madry et al., ICLR 2018: ten projected steps from a uniform start, then a step of the weights."""

    def step() -> None:
        x, y, model = training.x, training.y, training.model
        adversarial = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
        for _ in range(10):
            adversarial = adversarial.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(cross_entropy(model(adversarial), y), adversarial)
            moved = adversarial.detach() + 0.04 * gradient.sign()
            adversarial = torch.min(torch.max(moved, x - EPS), x + EPS).clamp(0, 1)
        training.descend(adversarial.detach())

    return step


def published_free(training: Training) -> Step:
    """Shafahi et al., NeurIPS 2019: each of four replays gives the weights and the kept noise their gradients."""
    noise = torch.zeros_like(training.x)

    def step() -> None:
        for _ in range(4):
            moving = noise.clone().requires_grad_()
            training.optimizer.zero_grad()
            cross_entropy(training.model((training.x + moving).clamp(0, 1)), training.y).backward()
            noise.add_(EPS * moving.grad.sign()).clamp_(-EPS, EPS)  # type: ignore[union-attr]
            training.optimizer.step()

    return step


def published_fgsm(training: Training) -> Step:
    """Wong, Rice, Kolter, ICLR 2020: one step of 1.25 eps from a uniform start, whose backward pass is a whole one."""

    def step() -> None:
        x, y, model = training.x, training.y, training.model
        delta = torch.empty_like(x).uniform_(-EPS, EPS)
        delta = torch.max(torch.min(delta, 1 - x), -x).requires_grad_()
        cross_entropy(model(x + delta), y).backward()
        moved = (delta.detach() + 1.25 * EPS * delta.grad.sign()).clamp(-EPS, EPS)  # type: ignore[union-attr]
        training.descend(x + torch.max(torch.min(moved, 1 - x), -x))

    return step
