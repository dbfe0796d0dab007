# SPDX-License-Identifier: MIT
"""Makes an image folder of CIFAR-10: JPEGs of 64 × 64, a folder a class, to try `--dataset folder` on.

    python bench/runs/cifar10_folder.py DATA_DIR OUT [--train 10000] [--val 1000]
    yopo train --dataset folder --data-dir OUT --image-size 64

DATA_DIR holds CIFAR-10's files, the binary or the Python version. Training images go to OUT/train, test images to
OUT/val, of each class its share.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from yopo_ext.data import ImageSet, draw_part, load_dataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 64


def write_images(images: ImageSet, folder: Path) -> None:
    """Each as ``folder/CLASS/NUMBER.jpg``."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (pixels, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / CLASSES[label] / f"{number:05}.jpg", quality=95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=10_000, help="training images")
    parser.add_argument("--val", type=int, default=1_000, help="test images")
    options = parser.parse_args()
    data = load_dataset("cifar10", options.data_dir)
    write_images(draw_part(data.train, options.train), options.out / "train")
    write_images(draw_part(data.test, options.val), options.out / "val")


if __name__ == "__main__":
    main()
