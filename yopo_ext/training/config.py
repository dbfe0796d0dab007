# SPDX-License-Identifier: MIT
"""Everything that decides a training run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .check_config import check_config
from .check_types import check_types

# Where and how a run happens, not what it computes: these may change when it is resumed.
HOST_FIELDS = frozenset({"data_dir", "device", "profile"})


@dataclass(frozen=True)
class TrainConfig:
    """One training run. ``eps`` and ``alpha`` are in units of images in [0, 1]; rates and epochs as in the papers.

    Data: ``held_out`` training images are kept from training: the accuracy-time curve, the best checkpoint and early
    stopping are measured on them, the final figures always on the test set. With 0 the curve is measured on the test
    set, and there is no best checkpoint. ``limit_train`` and ``limit_eval`` take N images only. These, and the curve's
    images, are random draws, stratified by class, that no run's seed changes. ``activation`` replaces the network's
    ReLUs.

    Method: ``m``, ``n`` and ``pgd_steps`` as its name uses them; ``beta`` weighs the divergence of TRADES; ``bn_mode``
    is the batch norm's while crafting, None the method's own (eval for TRADES, else train); with ``sync_bn`` its
    statistics are those of the joint mini-batch of several processes, on GPUs. ``reduction="sum"`` adds
    the gradients of YOPO's m passes, as the authors do with their learning rate divided by m; ``"mean"`` averages them.
    The two differ in weight decay: SGD's decay step is lr · weight_decay · w either way, so a preset that means the
    authors' run must sum. ``eps_warmup_epochs`` raises eps and alpha linearly from 0, ``steps_warmup_epochs`` the
    attack's steps from 1. ``delay`` trains naturally first, until that many epochs are done or, with ``"auto"``, until
    the loss stabilises (`Delay`).

    Optimiser: ``drop_last`` leaves out an epoch's last, smaller mini-batch. The rates drop by ``lr_decay`` when as many
    epochs are done as ``milestones`` says; the first layer has milestones of its own where ``first_layer_milestones``
    is given. ``lr_batch``, if given, is the batch size that ``lr`` is meant for: the rate used is
    lr · batch_size / lr_batch. ``ewa_decay`` keeps an exponential average of the weights, which is what is measured
    then; 0 keeps none. ``patience`` ends the training after that many measurements without a better robust accuracy on
    the held-out images; those before the whole attack is met do not count.

    Measurements: every ``curve_every`` epochs clean, FGSM and PGD-``curve_steps`` accuracy on ``curve_images`` images
    make a point of the curve; the final figure is PGD-``eval_steps``. ``keep_epochs`` keeps the weights of each epoch.
    ``staleness_every`` measures every so many epochs how stale the co-state becomes over the n steps.

    Speed: ``amp`` is bf16, off, or auto (bf16 on GPUs that have it); ``compile`` compiles what follows the first layer;
    ``cuda_graph`` replays a mini-batch's passes as one CUDA graph, on one GPU;
    ``profile`` prints where the time goes.

    Raises ``TypeError`` naming the field for a value of another type, ``ValueError`` for one out of range or two that
    do not go together.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    limit_train: int | None = None
    limit_eval: int | None = None
    held_out: int = 0
    augment: bool = False
    model: str = "digits-cnn"
    activation: str = "relu"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    memory_format: str = "channels_last"
    method: str = "yopo"
    m: int = 5
    n: int = 3
    pgd_steps: int = 10
    eps: float = 0.1
    alpha: float = 0.02
    norm: str = "linf"
    bn_mode: str | None = None
    sync_bn: bool = False
    reduction: str = "mean"
    first_layer_grad: str = "hamiltonian"
    beta: float = 6.0
    label_smoothing: float = 0.0
    eps_warmup_epochs: float = 0.0
    steps_warmup_epochs: float = 0.0
    delay: int | str | None = None
    epochs: int = 20
    batch_size: int = 128
    drop_last: bool = False
    optimizer: str = "sgd"
    lr: float = 0.1
    lr_batch: int | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "piecewise"
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = ()
    first_layer_milestones: tuple[int, ...] | None = None
    lr_decay: float = 0.1
    ewa_decay: float = 0.0
    patience: int | None = None
    eval_steps: int = 40
    eval_alpha: float | None = None
    curve_every: int = 1
    curve_steps: int = 10
    curve_images: int = 1000
    keep_epochs: bool = False
    staleness_every: int | None = None
    amp: str = "auto"
    compile: bool = False
    cuda_graph: bool = False
    log_every: int = 50
    profile: bool = False
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # a frozen configuration can be hashed
                object.__setattr__(self, field.name, tuple(value))
        check_types(self)
        check_config(self)

    @property
    def base_lr(self) -> float:
        """The learning rate at this batch size."""
        return self.lr if self.lr_batch is None else self.lr * self.batch_size / self.lr_batch

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values (tuples become lists)."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`. Raises ``ValueError`` for unknown names."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """From a ``config.json``. Raises ``ValueError`` that names the file when it is missing or malformed."""
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise ValueError(f"{path}: no such file; is its folder the folder of a run?") from error
        except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a run's configuration ({error})") from error


def differences(ours: TrainConfig, theirs: TrainConfig) -> list[str]:
    """``name: ours, theirs`` for every field that decides the result and differs."""
    names = [field.name for field in fields(TrainConfig) if field.name not in HOST_FIELDS]
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in names]
    return [f"{name}: {left!r} here, {right!r} there" for name, left, right in pairs if left != right]
