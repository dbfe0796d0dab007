# SPDX-License-Identifier: MIT
"""The options that override a configuration's fields."""

from __future__ import annotations

import argparse
from typing import Any

from .numbers import number


def delay(text: str) -> int | str:
    """``auto``, or a number of epochs."""
    return text if text == "auto" else int(text)


# option, type, help: each overrides the configuration's field of the same name. A bool has a --no- twin, a tuple takes
# several values.
OVERRIDES: tuple[tuple[str, Any, str], ...] = (
    ("dataset", str, "digits (default, nothing to download), mnist, fashion-mnist, cifar10, ..."),
    ("data-dir", str, "folder with the data set's files"),
    ("held-out", int, "training images to follow the training with (best checkpoint, early stopping)"),
    ("limit-train", int, "train on N images only, of each class its share"),
    ("limit-eval", int, "measure on N images only, of each class its share"),
    ("augment", bool, "random crops and flips"),
    ("model", str, "digits-cnn, smallcnn, preactresnet18, wrn-34-10, ..."),
    ("activation", str, "of the network: relu (default), leaky_relu, elu, celu, selu, gelu, silu, softplus, tanh"),
    ("mean", (number,), "normalisation inside the network, one value a channel"),
    ("std", (number,), "the same"),
    ("method", str, "yopo-M-N (default), pgd-STEPS, natural, fast, n-fgsm, free-M, trades-STEPS, trades-yopo-M-N"),
    ("m", int, "full passes a mini-batch (yopo, free, trades-yopo)"),
    ("n", int, "inner steps after each pass"),
    ("pgd-steps", int, "steps of the attack (pgd, trades)"),
    ("eps", number, "radius, in units of images in [0, 1]; fractions like 8/255 are read"),
    ("alpha", number, "step size"),
    ("norm", str, "linf (default) or l2"),
    ("bn-mode", str, "batch norm while crafting: train or eval (default: the method's own)"),
    ("sync-bn", bool, "batch norm over the joint mini-batch of several processes, on GPUs"),
    ("reduction", str, "of the m passes' gradients: mean (default) or sum"),
    ("first-layer-grad", str, "hamiltonian (default), backprop or both"),
    ("beta", number, "weight of the divergence of trades"),
    ("label-smoothing", number, "share of the target spread over all classes"),
    ("eps-warmup-epochs", number, "eps and alpha grow from 0 over so many epochs"),
    ("steps-warmup-epochs", number, "the attack's steps grow from 1 over so many epochs (pgd, trades)"),
    ("delay", delay, "natural samples first: for so many epochs, or auto: until the loss stabilises"),
    ("epochs", int, "passes over the training images"),
    ("batch-size", int, "images a mini-batch"),
    ("drop-last", bool, "leave out an epoch's last, smaller mini-batch"),
    ("optimizer", str, "sgd (default), nesterov, adam or adamw"),
    ("lr", number, "learning rate"),
    ("lr-batch", int, "the batch size that --lr is meant for; it is scaled linearly to --batch-size"),
    ("momentum", number, "of SGD"),
    ("weight-decay", number, "default: 5e-4"),
    ("schedule", str, "of the learning rate: piecewise (default), cosine, one-cycle or cyclic"),
    ("warmup-epochs", number, "the learning rate grows from 0 over so many epochs"),
    ("milestones", (int,), "epochs after which the learning rate drops"),
    ("first-layer-milestones", (int,), "the same for the first layer alone"),
    ("lr-decay", number, "what the learning rate is multiplied by at a milestone"),
    ("ewa-decay", number, "measure an exponential average of the weights, as 0.999; 0 (default): the last ones"),
    ("patience", int, "stop after so many measurements without a better one on the held-out images"),
    ("eval-steps", int, "PGD steps of the final measurement"),
    ("eval-alpha", number, "step size of the final measurement"),
    ("curve-every", int, "epochs between measurements of the accuracy-time curve"),
    ("curve-steps", int, "PGD steps of these"),
    ("curve-images", int, "images of these"),
    ("keep-epochs", bool, "keep the weights of every epoch, as epochs/NNN.pt"),
    ("staleness-every", int, "epochs between measurements of how stale the co-state becomes (yopo)"),
    ("memory-format", str, "channels_last (default) or contiguous"),
    ("amp", str, "bf16, off, or auto (default): bf16 on GPUs that have it"),
    ("compile", bool, "torch.compile what follows the first layer"),
    ("cuda-graph", bool, "replay a mini-batch's passes as one CUDA graph"),
    ("log-every", int, "steps between looks at the loss"),
    ("profile", bool, "print where the time of a step goes"),
    ("seed", int, "of everything random"),
    ("device", str, "cpu (default), cuda, cuda:1, ..."),
)


def add_settings(parser: argparse.ArgumentParser, *, without: tuple[str, ...] = ()) -> None:
    """Adds the options to a command, all without a default."""
    for name, kind, text in OVERRIDES:
        if name in without:
            continue
        flag = f"-{name}" if len(name) == 1 else f"--{name}"
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        elif isinstance(kind, tuple):
            parser.add_argument(flag, type=kind[0], nargs="*", help=text)
        else:
            parser.add_argument(flag, type=kind, help=text)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The fields that were given on the command line."""
    given = {}
    for name, _, _ in OVERRIDES:
        field = name.replace("-", "_")
        value = getattr(options, field, None)
        if value is not None:
            given[field] = tuple(value) if isinstance(value, list) else value
    return given
