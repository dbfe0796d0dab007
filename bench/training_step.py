# SPDX-License-Identifier: MIT
"""The whole training step of YOPO-m-n: the published algorithm in plain PyTorch against ours, in one run.

    python bench/training_step.py [--model smallcnn] [--json FILE]

Both train the same network on the same mini-batch and do the same mathematics (random start, m passes, n steps after
each, first layer with both gradients, one step of SGD); times are medians over rounds in which each runs in a
process of its own. Ours is what `yopo train` runs: channels-last, freed memory kept, one kernel call for the n steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yopo_ext import capture_costate
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.models import build_model
from yopo_ext.stopwatch import Stopwatch
from yopo_ext.training import Processes, TrainConfig
from yopo_ext.training.memory import keep_freed_memory
from yopo_ext.training.methods import build_adversary
from yopo_ext.training.mini_batch import MiniBatch
from yopo_ext.training.optimizers import make_optimizer

SETTINGS = {
    "smallcnn": {"m": 5, "n": 10, "eps": 0.3, "alpha": 0.01, "batch_size": 256, "lr": 0.01 / 5},
    "preactresnet18": {"m": 5, "n": 3, "eps": 8 / 255, "alpha": 2 / 255, "batch_size": 256, "lr": 0.2 / 5},
}
IMAGES = {"smallcnn": (1, 28), "preactresnet18": (3, 32)}


def published(config: TrainConfig, model: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """The authors' algorithm: autograd through clamp and first layer in each inner step, NCHW, all in eager mode."""
    head = model.first_layer
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=0.9, weight_decay=5e-4)

    def first(u: Tensor) -> Tensor:
        for module in head:
            u = module(u)
        return u

    def step(x: Tensor, y: Tensor) -> None:
        eta = torch.empty_like(x).uniform_(-config.eps, config.eps)
        eta = torch.clamp(x + eta, 0, 1) - x
        optimizer.zero_grad()
        for _ in range(config.m):
            with capture_costate(head) as costate:
                F.cross_entropy(model(x + eta), y).backward()
            p = costate.value
            for _ in range(config.n):
                eta = eta.detach().requires_grad_()
                (g,) = torch.autograd.grad((p * first(torch.clamp(x + eta, 0, 1))).sum(), eta)
                with torch.no_grad():
                    eta = torch.clamp(eta + config.alpha * g.sign(), -config.eps, config.eps)
                    eta = torch.clamp(x + eta, 0, 1) - x
            (p * first(x + eta.detach())).sum().backward()
        optimizer.step()

    return step


def ours(config: TrainConfig, model: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """What `Trainer` does with a mini-batch."""
    model = model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    adversary = build_adversary(config, model, model.first_layer, generator)
    adversary.stopwatch = Stopwatch()
    optimizer = make_optimizer(config, model)
    run = MiniBatch(config, model, optimizer, None, Processes(), torch.device("cpu"))

    def step(x: Tensor, y: Tensor) -> None:
        run(adversary, x, y, len(x))

    step.spans = adversary.stopwatch
    return step


def run(name: str, who: str, repetitions: int) -> dict:
    """Seconds of each step of one contender, in this process."""
    if who == "ours":
        keep_freed_memory()  # as `yopo train` does
    config = TrainConfig(model=name, reduction="sum", first_layer_grad="both", **SETTINGS[name])
    channels, size = IMAGES[name]
    torch.manual_seed(0)
    model = build_model(name, in_channels=channels, num_classes=10).train()
    x, y = torch.rand(config.batch_size, channels, size, size), torch.randint(10, (config.batch_size,))
    step = CONTENDERS[who](config, model)
    step(x, y)
    spans = getattr(step, "spans", Stopwatch())
    spans.reset()
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        step(x, y)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "spans": {part: spent / repetitions for part, spent in spans.totals().items()}}


def measure(name: str, rounds: int, repetitions: int) -> dict:
    """Both contenders in turn, each time in a process of its own, as users run them."""
    seconds: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    for _ in range(rounds):
        for who in CONTENDERS:
            command = [sys.executable, __file__, "--model", name, "--only", who, "--repetitions", str(repetitions)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds[who] += found["seconds"]
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    config = SETTINGS[name]
    return {
        "case": f"{name} YOPO-{config['m']}-{config['n']}, batch {config['batch_size']}",
        "machine": describe_machine("cpu"),
        "seconds": seconds,
        "median": medians,
        "ratio": medians["published"] / medians["ours"],
        "ours_mean_by_part": found["spans"],
    }


CONTENDERS = {"published": published, "ours": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SETTINGS, default="smallcnn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=5, help="steps a round")
    parser.add_argument("--only", choices=CONTENDERS, help="print one contender's times as JSON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(options.model, options.only, options.repetitions)))
        return
    found = measure(options.model, options.rounds, options.repetitions)
    machine = found["machine"]
    print(
        f"{found['case']} on {machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}\n"
        f"published algorithm, plain PyTorch: {1e3 * found['median']['published']:.0f} ms a step\n"
        f"yopo_ext:                           {1e3 * found['median']['ours']:.0f} ms a step"
        f" ({found['ratio']:.2f} x faster)"
    )
    for part, seconds in found["ours_mean_by_part"].items():
        print(f"  {part}: {1e3 * seconds:.1f} ms")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
