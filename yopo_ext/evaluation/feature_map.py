# SPDX-License-Identifier: MIT
"""Features of clean and of attacked images in the plane, by t-SNE (van der Maaten and Hinton 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ..detectors import features
from ..objectives.objective import Objective
from ..png_figure import new_figure, save_figure
from .attacks.attack import Attack
from .examples import adversarial_examples
from .image_source import Images
from .mode import frozen_eval
from .verdict import measured_objective

# scikit-learn wants more points than its perplexity.
_PERPLEXITY, _LEAST_POINTS = 30.0, 6


@dataclass(frozen=True)
class FeatureMap:
    """N points: clean images that the network is right on, then those of them that an attack made it wrong on.

    Attributes:
        points: (N, 2) float.
        predicted: (N,) int64, the class that the network says.
        attacked: (N,) bool.
        attack: its label.
        names: of the classes, where they have some.
    """

    points: Tensor
    predicted: Tensor
    attacked: Tensor
    attack: str
    names: tuple[str, ...] | None = None


def feature_map(
    model: nn.Module,
    images: Images,
    attack: Attack,
    *,
    objective: Objective | None = None,
    count: int = 500,
    seed: int = 0,
) -> FeatureMap:
    """Of the first ``count`` images that the network is right on, and what the attack makes of them.

    Features are what the last linear layer is given (`yopo_ext.detectors.features`).

    Raises:
        ValueError: fewer than 6 points; also as `adversarial_examples`.
    """
    from sklearn.manifold import TSNE

    shown = adversarial_examples(model, images, attack, objective=objective, count=count)
    broken = shown.predicted != shown.labels
    x = torch.cat([shown.clean, (shown.clean + shown.eta)[broken]])
    if len(x) < _LEAST_POINTS:
        raise ValueError(f"images: got {len(x)} to map, expected at least {_LEAST_POINTS} that the network is right on")
    with frozen_eval(model):
        predicted, z = features(model, measured_objective(objective), x)
    perplexity = min(_PERPLEXITY, (len(z) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(z.cpu().numpy())
    attacked = torch.arange(len(x)) >= len(shown.clean)
    return FeatureMap(torch.as_tensor(points), predicted.cpu(), attacked, attack.label, shown.names)


def plot_features(found: FeatureMap, target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: a dot a clean image, a cross an attacked one, in the colour of the predicted class."""
    figure = new_figure(7.0, 5.6)
    axes = figure.add_subplot()
    colours = [f"C{label % 10}" for label in found.predicted.tolist()]
    for attacked in (False, True):
        index = (found.attacked == attacked).nonzero().squeeze(1).tolist()
        x, y = found.points[index].T.tolist() if index else ([], [])
        style: dict[str, Any] = {"marker": "x", "s": 26} if attacked else {"s": 9, "alpha": 0.5, "linewidths": 0}
        axes.scatter(x, y, c=[colours[one] for one in index], **style)
    for label in found.predicted.unique().tolist():
        axes.scatter([], [], c=f"C{label % 10}", label=str(label) if found.names is None else found.names[label])
    axes.scatter([], [], c="black", marker="x", label="attacked")
    axes.set(xticks=[], yticks=[], title=title)
    axes.legend(title="predicted", loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize="small")
    save_figure(figure, target)
