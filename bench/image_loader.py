# SPDX-License-Identifier: MIT
"""Images a second of an image folder's loader, beside what a training step takes: is the loader the bottleneck?

    python bench/image_loader.py [--image-size 64] [--model resnet18] [--method yopo-5-3] [--device cuda] [--json FILE]

Without --data-dir the folder is made of pictures of smoothed noise, JPEGs of 500 × 375. Measured are decoding, once a
set; the loader alone, with random resized crop and flip, after a first epoch, so that its file is in memory as far as
it fits; the training step alone, on one mini-batch that stays; both together, with the time that the training waits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import PIL
import torch
from PIL import Image

from yopo_ext.benchmark.machine import describe_machine
from yopo_ext.data import StoredLoader
from yopo_ext.data.folder import FolderOptions
from yopo_ext.data.folder_listing import list_images
from yopo_ext.data.pixel_file import decoded
from yopo_ext.stopwatch import Stopwatch
from yopo_ext.training import Config, Run, make_config


def write_pictures(folder: Path, count: int) -> None:
    """Of two classes, for training, and a few to measure on."""
    rng = np.random.default_rng(0)
    for part, images in (("train", count), ("val", 4)):
        for number in range(images):
            small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
            path = folder / part / f"class{number % 2}" / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            small.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, with what it left the device to do."""
    started = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started


def decoding_rate(options: FolderOptions, data_dir: Path, folder: Path) -> tuple[float, int]:
    """Images a second, and bytes an image, of making the training images' file anew."""
    listing = list_images(data_dir / "train")
    workers = torch.get_num_threads() if options.decode_workers is None else options.decode_workers
    seconds = seconds_of(lambda: decoded(listing, options.side, folder, workers), torch.device("cpu"))
    return len(listing) / seconds, 3 * options.side**2


def gathering_rate(loader: StoredLoader) -> float:
    """Images a second of copying rows out of the file in random order, by one thread."""
    images, side = loader.images.images, loader.images.images.file.side
    out = torch.empty(loader.batch_size, 3, side, side, dtype=torch.uint8)
    parts = [part for part in torch.randperm(len(images)).split(len(out)) if len(part) == len(out)]
    times = [seconds_of(partial(images.read_whole, part, out), torch.device("cpu")) for part in 3 * parts]
    return len(out) / statistics.median(times)


def measure(config: Config, steps: int, folder: Path, need: float | None) -> dict[str, float]:
    """Images a second of the loader, of the step, of both, and the share of the time that the step waits.

    ``need``: of a step that was measured elsewhere; then none is made here.
    """
    trainer = Run(config, folder / "run", show=False).trainer
    loader, size = trainer.batches, config["batch_size"]
    trainer.in_use.stopwatch = Stopwatch(trainer.device)
    trainer.position = 1
    list(loader)
    alone = statistics.median(len(loader.images) / seconds_of(lambda: list(loader), trainer.device) for _ in range(3))
    rates = {"loader": alone, "gathering": gathering_rate(loader)}
    if need is not None:
        return {**rates, "step": need}
    batch = next(iter(loader))
    trainer.step(batch)
    step = statistics.median(seconds_of(lambda: trainer.step(batch), trainer.device) for _ in range(steps))
    rest = iter(loader)
    trainer.step(next(rest))  # from here on mini-batches are made ahead
    waited, images, started = 0.0, 0, perf_counter()
    for _ in range(min(steps, len(loader) - 1)):
        asked = perf_counter()
        found = next(rest)
        waited += perf_counter() - asked
        seconds_of(partial(trainer.step, found), trainer.device)
        images += len(found)
    total = perf_counter() - started
    return {**rates, "step": size / step, "together": images / total, "waiting": waited / total}


def verdict(found: dict[str, float]) -> str:
    """In words."""
    times = found["loader"] / found["step"]
    if times < 1:
        return f"the loader is the bottleneck: it gives {times:.2f} of what the step could take"
    return f"the loader is not the bottleneck: it gives {times:.1f} times what the step takes"


def to_text(found: dict) -> str:
    machine = found["machine"]
    where = machine.get("gpu") or f"{machine['cpu']}, {machine['threads']} threads"
    gigabytes = 1_281_167 * found["bytes"] / 1e9
    return "\n".join([
        f"{found['case']} on {where}, torch {machine['torch']}, Pillow {found['pillow']}",
        f"  decoding, once a set  {found['decoding']:9.0f} images/s, {found['bytes'] / 1e3:.1f} kB each: ImageNet in "
        f"{1_281_167 / found['decoding'] / 3600:.1f} h and {gigabytes:.0f} GB",
        f"  loader alone          {found['loader']:9.0f} images/s",
        f"  gathering rows alone  {found['gathering']:9.0f} images/s by one thread: the host's part where a GPU crops",
        f"  training step alone   {found['step']:9.1f} images/s",
        *([f"  both together         {found['together']:9.0f} images/s, {100 * found['waiting']:.1f} % of it waiting"]
          if "together" in found else []),
        f"  {verdict(found)}",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="an image folder; without it one is made")
    parser.add_argument("--images", type=int, default=1024, help="of the folder that is made")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--method", default="yopo-5-3")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=8, help="training steps to measure")
    parser.add_argument("--need", type=float, help="images a second of a step measured elsewhere; none is made here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    with TemporaryDirectory() as work:
        folder = Path(work)
        data_dir = options.data_dir or folder / "pictures"
        if options.data_dir is None:
            write_pictures(data_dir, options.images)
        config = make_config(
            dataset="folder", data_dir=str(data_dir), image_size=options.image_size, model=options.model,
            method=options.method, batch_size=options.batch_size, device=options.device,
            decoded_dir=str(folder / "made"),
        )  # fmt: skip
        rate, size = decoding_rate(config.source, data_dir, folder / "made")
        found = {
            "case": f"{options.model} {config.label}, {options.image_size} pixels a side, batch {options.batch_size}",
            "machine": {**describe_machine(options.device), "load before": load}, "pillow": PIL.__version__,
            "decoding": rate, "bytes": size, **measure(config, options.steps, folder, options.need),
        }  # fmt: skip
    print(to_text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
