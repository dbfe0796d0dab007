# SPDX-License-Identifier: MIT
"""The whole training step of YOPO-m-n: the published algorithm in plain PyTorch against ours, in one run.

    python bench/training_step.py [--model smallcnn] [--device cuda --compile --cuda-graph] [--json FILE]

All train the same network on the same mini-batch and do the same mathematics (random start, m passes, n steps after
each, first layer with both gradients, one step of SGD); times are medians over rounds in which each runs in a
process of its own. Ours is what `yopo train` runs: channels-last, freed memory kept, bf16 autocast on a GPU, one kernel
call for the n steps. "eager inner loop" is the same step with the n steps in eager PyTorch (YOPO_EXT_BACKEND=torch).
Replayed as a CUDA graph a step has no parts: measure it without --cuda-graph for those.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn import functional as F

from yopo_ext import capture_costate
from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import Batch, Dataset, ImageSet, to_float
from yopo_ext.models import build_model
from yopo_ext.stopwatch import Stopwatch
from yopo_ext.training import Config, Run, make_config
from yopo_ext.training.host import choose_device, keep_freed_memory, open_device

SETTINGS = {
    "smallcnn": {"m": 5, "n": 10, "eps": 0.3, "alpha": 0.01, "batch_size": 256, "lr": 0.01 / 5},
    "preactresnet18": {"m": 5, "n": 3, "eps": 8 / 255, "alpha": 2 / 255, "batch_size": 256, "lr": 0.2 / 5},
}
IMAGES = {"smallcnn": (1, 28), "preactresnet18": (3, 32)}


#: Makes a step on a mini-batch and returns the mean loss of its passes.
Step = Callable[[Tensor, Tensor], Tensor]


def published(config: Config, data: Dataset) -> Step:
    """The authors' algorithm: autograd through clamp and first layer in each inner step, NCHW, all in eager mode."""
    model = (
        build_model(config["model"], in_channels=data.train.channels, num_classes=10)
        .train()
        .to(choose_device(config["device"]))
    )
    head, (eps, alpha, m, n) = model.first_layer, (config[name] for name in ("eps", "alpha", "m", "n"))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9, weight_decay=5e-4)

    def first(u: Tensor) -> Tensor:
        for module in head:
            u = module(u)
        return u

    def step(x: Tensor, y: Tensor) -> Tensor:
        eta = torch.empty_like(x).uniform_(-eps, eps)
        eta = torch.clamp(x + eta, 0, 1) - x
        optimizer.zero_grad()
        losses = []
        for _ in range(m):
            with capture_costate(head) as costate:
                loss = F.cross_entropy(model(x + eta), y)
                loss.backward()
            losses.append(loss.detach())
            p = costate.value
            for _ in range(n):
                eta = eta.detach().requires_grad_()
                (g,) = torch.autograd.grad((p * first(torch.clamp(x + eta, 0, 1))).sum(), eta)
                with torch.no_grad():
                    eta = torch.clamp(eta + alpha * g.sign(), -eps, eps)
                    eta = torch.clamp(x + eta, 0, 1) - x
            (p * first(x + eta.detach())).sum().backward()
        optimizer.step()
        return torch.stack(losses).mean()

    return step


def ours(config: Config, data: Dataset) -> Step:
    """What `Trainer` does with a mini-batch."""
    with TemporaryDirectory() as folder:  # which is looked at, and never written to
        trainer = Run(config, Path(folder), data, show=False).trainer
    trainer.in_use.stopwatch = stopwatch = Stopwatch(trainer.device)
    trainer.position = 1
    trainer.tell(lambda event: event.on_batches_start(trainer))  # from here on the tail is compiled, if asked for

    def step(x: Tensor, y: Tensor) -> Tensor:
        return trainer.step(Batch(x, y))["loss"]

    step.spans = stopwatch
    return step


def random_images(config: Config) -> Dataset:
    """One mini-batch."""
    channels, size = IMAGES[config["model"]]
    torch.manual_seed(0)
    images = torch.randint(256, (config["batch_size"], channels, size, size), dtype=torch.uint8)
    batch = ImageSet(images, torch.randint(10, (len(images),)), 10)
    return Dataset("random", batch, batch)


def run(config: Config, who: str, repetitions: int) -> dict:
    """Seconds of each step of one contender, in this process."""
    if who != "published":
        keep_freed_memory()  # as `yopo train` does
    device, data = open_device(config["device"]), random_images(config)
    x, y = to_float(data.train.images).to(device), data.train.labels.to(device)
    step = CONTENDERS[who](config, data)
    for _ in range(WARM_UP[device.type]):
        step(x, y)
    spans = getattr(step, "spans", Stopwatch())
    spans.reset()
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        step(x, y)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "spans": {part: spent / repetitions for part, spent in spans.totals().items()}}


def measure(config: Config, arguments: list[str], rounds: int) -> dict:
    """All contenders in turn, each time in a process of its own, as users run them."""
    seconds: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    spans = {}
    for _ in range(rounds):
        for who in CONTENDERS:
            environment = os.environ | ({"YOPO_EXT_BACKEND": "torch"} if who == EAGER else {})
            command = [sys.executable, __file__, *arguments, "--only", who]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
            seconds[who] += found["seconds"]
            spans[who] = found["spans"]
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    return {
        "case": f"{config['model']} {config.label}, batch {config['batch_size']}",
        "options": [name for name in ("compile", "cuda_graph") if config[name]],
        "machine": describe_machine(choose_device(config["device"])),
        "seconds": seconds,
        "median": medians,
        "ratio": {who: median / medians["ours"] for who, median in medians.items()},
        "ours_mean_by_part": spans["ours"],
    }


EAGER = "eager inner loop"
CONTENDERS = {"published": published, EAGER: ours, "ours": ours}
# On a GPU libraries choose their kernels, and a graph is recorded after three steps.
WARM_UP = {"cpu": 1, "cuda": 6}


def to_text(found: dict) -> str:
    machine, median = found["machine"], found["median"]
    where = machine.get("gpu") or f"{machine['cpu']}, {machine['threads']} threads"
    options = "".join(f", {name}" for name in found["options"])
    lines = [f"{found['case']}{options} on {where}, torch {machine['torch']}"]
    lines += [f"  {who:18} {1e3 * median[who]:9.2f} ms a step, {found['ratio'][who]:.2f} x ours" for who in CONTENDERS]
    lines += [f"    {part}: {1e3 * seconds:.2f} ms" for part, seconds in found["ours_mean_by_part"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SETTINGS, default="smallcnn")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="ours: compile what follows the first layer")
    parser.add_argument("--cuda-graph", action="store_true", help="ours: replay the passes as one graph")
    parser.add_argument("--batch-size", type=int, help="default: the paper's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=5, help="steps a round")
    parser.add_argument("--only", choices=CONTENDERS, help="print one contender's times as JSON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = SETTINGS[options.model] | ({"batch_size": options.batch_size} if options.batch_size else {})
    config = make_config(
        model=options.model, reduction="sum", first_layer_grad="both", device=options.device, compile=options.compile,
        cuda_graph=options.cuda_graph, **settings,
    )  # fmt: skip
    if options.only:
        print(json.dumps(run(config, options.only, options.repetitions)))
        return
    found = measure(config, sys.argv[1:], options.rounds)
    print(to_text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
