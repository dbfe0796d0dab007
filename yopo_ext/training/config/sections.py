# SPDX-License-Identifier: MIT
"""The parts of a configuration that every run has."""

from __future__ import annotations

from dataclasses import dataclass

from ...adversaries.gradient_step import IN_KERNEL, IN_KERNEL_HELP
from ...arguments import NORMS
from ...data import DATASETS
from ...models import ACTIVATIONS, MODELS
from ...options import Options, option

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class DataOptions(Options):
    """The images."""

    dataset: str = option("digits", "the images' name (digits need no download)", choices=lambda: DATASETS.names)
    data_dir: str | None = option(None, "folder with the data set's files", host=True)
    limit_train: int | None = option(None, "train on so many images only, drawn evenly from the classes", least=1)
    limit_eval: int | None = option(None, "measure on so many images only, drawn evenly from the classes", least=1)
    held_out: int = option(
        0, "training images to follow the training with (best checkpoint, early stopping)",
        least=0,
    )  # fmt: skip
    drop_last: bool = option(False, "leave out an epoch's last mini-batch where it is smaller")
    augment: bool = option(False, "random crops and flips")
    mixup: float | None = option(
        None, "mix each image and its label with another of the mini-batch, by shares of Beta(mixup, mixup)", above=0
    )


@dataclass(frozen=True)
class ModelOptions(Options):
    """The network."""

    model: str = option("digits-cnn", "the network's name", choices=lambda: MODELS)
    members: int = option(1, "networks of that kind in an ensemble, for an objective of ensembles", least=1)
    activation: str = option("relu", "of the network, instead of its ReLUs", choices=lambda: tuple(ACTIVATIONS))
    mean: tuple[float, ...] | None = option(
        None, "normalisation inside the network: what is taken off, one value a channel"
    )
    std: tuple[float, ...] | None = option(
        None, "what images are divided by after the mean, one value a channel", above=0
    )
    num_classes: int | None = option(None, "classes that the data must have (default: any number)", least=2)
    init_weights: str | None = option(
        None, "start from the weights in this file; a last layer for another number of classes stays fresh"
    )
    first_layer: str | None = option(
        None, "what YOPO takes as the first layer: auto, or names of modules, as conv1,bn1,relu (default: the "
        "network's own, auto for a library's)",
    )  # fmt: skip
    cut: str | None = option(
        None, "take the network up to and with this module as the first layer, as layer1.0 (yopo cuts lists them)"
    )
    sync_bn: bool = option(False, "batch norm over the joint mini-batch of several processes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean, std: got one of them, expected both or neither")
        if self.cut is not None and self.first_layer is not None:
            raise ValueError(
                f"cut: got {self.cut!r} beside first_layer {self.first_layer!r}, expected one of them: a cut names the "
                "first layer's last module, first_layer all of them"
            )
        if self.cut is not None and self.members > 1:
            raise ValueError(
                f"cut: got {self.cut!r} with {self.members} members, expected none: the first layer of an ensemble is "
                "its members' own, side by side"
            )


@dataclass(frozen=True)
class BallOptions(Options):
    """What a perturbation may be."""

    eps: float = option(0.1, "radius; fractions like 8/255 are read", least=0, unit="images in [0, 1]")
    alpha: float = option(0.02, "step size (default: the method's or the data set's own)", unit="images in [0, 1]")
    norm: str = option("linf", "of the ball", choices=NORMS)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("eps", "alpha"):
            check_grey_levels(name, getattr(self, name), self.norm)


@dataclass(frozen=True)
class LoopOptions(Options):
    """How long, and in what portions."""

    epochs: int = option(20, "passes over the training images", least=1)
    batch_size: int = option(128, "images a mini-batch", least=1)
    accumulate: int = option(1, "mini-batches whose gradients are gathered for one step of the weights", least=1)
    clip_grad_norm: float | None = option(
        None, "the most that the joint norm of a weight step's gradients may be", above=0, unit="l2"
    )
    seed: int = option(0, "of everything random", least=0, most=LARGEST_SEED)
    log_every: int = option(50, "steps between looks at the loss; on a GPU there are none", least=1)


@dataclass(frozen=True)
class MeasuringOptions(Options):
    """The final figures, on the test set."""

    eval_steps: int = option(40, "PGD steps of the final measurement", least=1)
    eval_alpha: float | None = option(
        None, "step size of the final measurement (default: 2.5 eps / steps)", above=0, unit="images in [0, 1]"
    )


@dataclass(frozen=True)
class SpeedOptions(Options):
    """How a step is computed."""

    memory_format: str = option("channels_last", "of networks and images", choices=("channels_last", "contiguous"))
    amp: str = option(
        "auto", "auto: bf16 on GPUs that have it; fp16: with a scaled loss", choices=("auto", "bf16", "fp16", "off")
    )
    attack_in_kernel: str = option("auto", IN_KERNEL_HELP, choices=IN_KERNEL)
    cuda_graph: bool = option(False, "replay a mini-batch's passes as one CUDA graph, on one GPU")


@dataclass(frozen=True)
class HostOptions(Options):
    """Where a run happens, and what it prints."""

    device: str = option("auto", "auto: cuda where there is one, else cpu; or cpu, cuda, cuda:1, ...", host=True)
    profile: bool = option(False, "print where the time of a step goes", host=True)


def check_grey_levels(name: str, value: float | None, norm: str) -> None:
    """Raises ``ValueError`` for a radius or step in units of 255 grey levels, where images lie in [0, 1]."""
    if norm == "linf" and value is not None and abs(value) >= 1:
        raise ValueError(
            f"{name}: got {value:g} with norm linf, expected less than 1: images lie in [0, 1], so for grey levels "
            f"write {value:g}/255"
        )
