# SPDX-License-Identifier: MIT
"""Everything that decides a training run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

METHODS = ("yopo", "pgd", "natural")
MEMORY_FORMATS = ("channels_last", "contiguous")

# Where a run happens, not what it computes: these may change when it is resumed.
HOST_FIELDS = frozenset({"data_dir", "device"})


@dataclass(frozen=True)
class TrainConfig:
    """One training run. ``eps`` and ``alpha`` are in units of images in [0, 1]; rates and epochs as in the papers.

    ``reduction="sum"`` adds the gradients of YOPO's m passes, as the authors do with their learning rate divided by m;
    ``"mean"`` averages them. The two differ in weight decay: SGD's decay step is lr · weight_decay · w either way, so
    a preset that means the authors' run must sum.

    Learning rates drop by ``lr_decay`` when as many epochs are done as ``milestones`` says; the first layer has
    milestones of its own where ``first_layer_milestones`` is given. ``held_out`` training images (the last ones) are
    kept from training and measured on; 0 measures on the test set. ``limit_train`` and ``limit_eval`` take the first N
    images only. Every ``curve_every`` epochs clean and PGD-``curve_steps`` accuracy on ``curve_images`` images make a
    point of the accuracy-time curve; the final figure is PGD-``eval_steps``.

    Raises ``ValueError`` naming the field for a value out of range.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    limit_train: int | None = None
    limit_eval: int | None = None
    held_out: int = 0
    augment: bool = False
    model: str = "digits-cnn"
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
    reduction: str = "mean"
    first_layer_grad: str = "hamiltonian"
    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    milestones: tuple[int, ...] = ()
    first_layer_milestones: tuple[int, ...] | None = None
    lr_decay: float = 0.1
    eval_steps: int = 40
    eval_alpha: float | None = None
    curve_every: int = 1
    curve_steps: int = 10
    curve_images: int = 1000
    log_every: int = 50
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _choice(self, "method", METHODS)
        _choice(self, "memory_format", MEMORY_FORMATS)
        _choice(self, "norm", ("linf", "l2"))
        _choice(self, "reduction", ("mean", "sum"))
        _choice(self, "first_layer_grad", ("hamiltonian", "backprop", "both"))
        for name in ("m", "pgd_steps", "epochs", "batch_size", "eval_steps", "curve_every", "curve_steps"):
            _at_least(self, name, 1)
        for name in ("curve_images", "log_every", "limit_train", "limit_eval"):
            _at_least(self, name, 1)
        for name in ("n", "held_out", "eps", "lr", "momentum", "weight_decay", "lr_decay", "seed"):
            _at_least(self, name, 0)
        for name in ("alpha", "eval_alpha"):
            _finite(self, name)
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values (tuples become lists)."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`. Raises ``ValueError`` for unknown names."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

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


def _choice(config: TrainConfig, name: str, known: tuple[str, ...]) -> None:
    if getattr(config, name) not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(config, name)!r}")


def _at_least(config: TrainConfig, name: str, least: float) -> None:
    value = getattr(config, name)
    if value is not None and not (least <= value < math.inf):
        raise ValueError(f"{name} must be at least {least} and finite, got {value}")


def _finite(config: TrainConfig, name: str) -> None:
    value = getattr(config, name)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
