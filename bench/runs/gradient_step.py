# SPDX-License-Identifier: MIT
"""What it saves that gradient attacks end their steps in the first convolution's kernel, on a CPU, in one process.

    OMP_NUM_THREADS=1 python bench/runs/gradient_step.py [--rounds 15] [--json bench/results/gradient-step.json]

Both ways take turns and the least time of each counts: of the two operations alone (the convolution's backward pass to
the images and the projected step) for geometries of first layers, of a whole PGD step, of a training step and of a
measuring attack for networks. Beside the times, the share of the convolution's adjoint in a step's multiply-adds, and
how many signs differ. About 4 minutes on a quiet core.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from yopo_ext import Ball
from yopo_ext.adversaries import PGD
from yopo_ext.adversaries.attack_pass import kernel_step
from yopo_ext.adversaries.gradient_step import BY_AUTOGRAD, GradientStep, first_convolution
from yopo_ext.adversaries.pgd import climb
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.evaluation import PGDAttack
from yopo_ext.evaluation.image_batch import ImageBatch
from yopo_ext.evaluation.verdict import ClassLogits
from yopo_ext.models import build_model
from yopo_ext.training.files import write_text_atomically
from yopo_ext.training.host import keep_freed_memory

ROOT = Path(__file__).resolve().parents[2]
FORMATS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}
#: Name: channels in and out, kernel, stride, padding, image size, images.
GEOMETRIES = {
    "SmallCNN": (1, 32, 3, 1, 0, 28, 64),
    "FastAT's MNIST network": (1, 16, 4, 2, 1, 28, 64),
    "WideResNet": (3, 16, 3, 1, 1, 32, 64),
    "PreActResNet18": (3, 64, 3, 1, 1, 32, 32),
    "the same, 4 images": (3, 64, 3, 1, 1, 32, 4),
    "ImageNet stem, 7×7, stride 2": (3, 64, 7, 2, 3, 224, 2),
    "patches of 16×16": (3, 192, 16, 16, 0, 224, 2),
    "1×1": (3, 64, 1, 1, 0, 32, 16),
    "4 channels": (4, 64, 3, 1, 1, 32, 16),
    "8 channels": (8, 64, 3, 1, 1, 32, 16),
}
#: Name: images of a batch, eps, alpha.
NETWORKS = {"smallcnn": (64, 0.3, 0.01), "wrn-10-1": (32, 8 / 255, 2 / 255), "preactresnet18": (4, 8 / 255, 2 / 255)}
CHANNELS = {"smallcnn": (1, 28)}


def least(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Milliseconds of each, the least of so many rounds in which they take turns."""
    found = [float("inf")] * len(ways)
    for number in range(rounds + 1):
        for index, way in enumerate(ways):
            started = perf_counter()
            way()
            if number > 0:  # the first warms up
                found[index] = min(found[index], 1e3 * (perf_counter() - started))
    return found


def entry(ways: Sequence[Callable[[], object]], rounds: int) -> dict[str, float]:
    autograd, kernel = least(ways, rounds)
    return {"autograd_ms": round(autograd, 4), "kernel_ms": round(kernel, 4), "ratio": round(kernel / autograd, 3)}


def operations(geometry: tuple[int, ...], memory_format: torch.memory_format, rounds: int) -> dict[str, Any]:
    """The two operations that the kernel stands for."""
    channels, width, kernel, stride, padding, size, count = geometry
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, width, kernel, stride, padding).to(memory_format=memory_format)
    x = torch.rand(count, channels, size, size).to(memory_format=memory_format)
    ball, layer = Ball(8 / 255, 2 / 255), first_convolution(conv)
    feasible, step_size, leaf = ball.feasible_set(x), ball.step_size(x), x.clone().requires_grad_()
    eta, z = feasible.project(0.03 * torch.randn_like(x)), conv(leaf)
    p = torch.randn_like(z).detach()

    @torch.no_grad()
    def by_autograd() -> Tensor:
        return feasible.step(eta, torch.autograd.grad(z, leaf, p, retain_graph=True)[0], step_size)

    def by_kernel() -> Tensor:
        return kernel_step(layer, feasible, eta, p, step_size)

    return {
        "multiply_adds": z.numel() * conv.weight[0].numel(), "elements": eta.numel(),
        "different": int((by_autograd() != by_kernel()).sum()), **entry((by_autograd, by_kernel), rounds),
    }  # fmt: skip


def network(name: str, rounds: int) -> dict[str, Any]:
    """A PGD step in both modes, a step of PGD-10 training, and PGD-40 for measuring, each on one batch."""
    count, eps, alpha = NETWORKS[name]
    channels, size = CHANNELS.get(name, (3, 32))
    torch.manual_seed(0)
    model = build_model(name, in_channels=channels, num_classes=10).to(memory_format=torch.channels_last)
    for parameter in model.parameters():
        if not parameter.any():  # a last layer that starts at zero has no gradient to follow
            nn.init.normal_(parameter, std=0.05)
    x = torch.rand(count, channels, size, size).to(memory_format=torch.channels_last)
    y, ball = torch.arange(count) % 10, Ball(eps, alpha)
    found: dict[str, Any] = {"images": count, "share_of_multiply_adds": round(share(model, x), 4)}
    feasible, step_size = ball.feasible_set(x), ball.step_size(x)
    ways = {"autograd": BY_AUTOGRAD, "kernel": GradientStep(model.first_layer)}
    start = feasible.project(eps * torch.randn_like(x))

    def stepping(way: GradientStep) -> Callable[[], Tensor]:
        return lambda: climb(model, y, cross_entropy, feasible, step_size, 1, start, way=way)

    for mode in ("eval", "train"):
        model.train(mode == "train")
        found[f"step_{mode}"] = entry([stepping(way) for way in ways.values()], rounds)
    model.eval()
    off, on = (stepping(way)() for way in ways.values())
    found |= {"elements": off.numel(), "different": int((off != on).sum())}
    model.train()
    long_rounds = max(2, rounds // 8)
    found["pgd_10_training"] = entry(
        [lambda one=one: one.accumulate(x, y) for one in
         (PGD(model, ball, 10, first_layer=model.first_layer, in_kernel=how) for how in ("off", "auto"))],
        long_rounds,
    )  # fmt: skip
    model.eval().requires_grad_(False)
    images = ImageBatch(x, y, 10, ClassLogits())
    attacks = [PGDAttack(eps, steps=40, in_kernel=how) for how in ("off", "auto")]
    found["pgd_40_measuring"] = entry([lambda one=one: one.craft(model, images) for one in attacks], long_rounds)
    return found


def share(model: nn.Module, x: Tensor) -> float:
    """Of the first convolution's adjoint in a step: forward, and backward to the images."""
    counts: list[int] = []

    def count(module: Any, args: tuple[Tensor], output: Tensor) -> None:
        counts.append(output.numel() * module.weight[0].numel())

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return counts[0] / (2 * sum(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, default=ROOT / "bench/results/gradient-step.json")
    options = parser.parse_args()
    keep_freed_memory()  # as `yopo train` does
    load = os.getloadavg()[0]
    found = {
        "date": str(date.today()), "machine": describe_machine("cpu"), "load before": round(load, 1),
        "operations": {
            name: {what: operations(geometry, format, 2 * options.rounds) for what, format in FORMATS.items()}
            for name, geometry in GEOMETRIES.items()
        },
        "networks": {name: network(name, options.rounds) for name in NETWORKS},
    }  # fmt: skip
    write_text_atomically(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
