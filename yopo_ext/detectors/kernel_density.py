# SPDX-License-Identifier: MIT
"""Kernel density in feature space as a detector (Feinman et al. 2017)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..objectives import ReverseCrossEntropy
from ..objectives.objective import Objective
from ..options import Options, option
from .detector import Fitting, NamedDetector
from .features import class_scores_and_features, features

#: σ² of Pang et al. (NeurIPS 2018), after cross entropy and after reverse cross entropy.
BANDWIDTH, REVERSE_BANDWIDTH = 1 / 0.26, 0.1 / 0.26
MEDIAN = "median"
# Features of a class whose distances to each other it is taken of.
_OF_MEDIAN = 200


class KernelDensity:
    """−log mean_i exp(−‖z − z_i‖² / σ²) over training features z_i of the class predicted for z.

    The logarithm keeps the order of densities that would underflow. Of a class that the network never predicted for a
    training image there is no density: an input predicted so has the largest score there is.

    Args:
        objective: reads the network's outputs.
        bandwidth: σ² > 0, in units of squared features, or "median": that of the squared distances between training
            features of one predicted class. Far below these the nearest training feature alone decides.
        most: training features of a class, the first ones that are met.
    """

    def __init__(self, objective: Objective, bandwidth: float | str = BANDWIDTH, most: int = 1000) -> None:
        if isinstance(bandwidth, str) and bandwidth != MEDIAN:
            raise ValueError(f"bandwidth: got {bandwidth!r}, expected a number above 0 or {MEDIAN}")
        self.objective, self.bandwidth, self.most = objective, bandwidth, most
        self._known: list[Tensor] | None = None
        self._variance = math.nan

    @property
    def label(self) -> str:
        """``K-density``; ``K-density, median σ²``."""
        return "K-density, median σ²" if self.bandwidth == MEDIAN else "K-density"

    def fit(self, model: nn.Module, images: Tensor) -> None:
        """Keeps the features of the images by predicted class. Warns of classes that are never predicted.

        Raises:
            ValueError: no images; a network without a last layer; no two features of a class to take a median of.
        """
        if len(images) == 0:
            raise ValueError("images: got none to fit K-density on, expected at least one")
        with torch.no_grad():
            classes = class_scores_and_features(model, self.objective, images[:1])[0].shape[1]
        predicted, z = features(model, self.objective, images)
        self._known = [z[predicted == one][: self.most] for one in range(classes)]
        self._variance = _median(self._known) if isinstance(self.bandwidth, str) else self.bandwidth
        if missing := [str(one) for one, known in enumerate(self._known) if len(known) == 0]:
            warnings.warn(
                f"K-density: none of {len(images)} training images was predicted as class {', '.join(missing)}; inputs "
                "that are count as most suspicious",
                stacklevel=2,
            )

    def score(self, model: nn.Module, x: Tensor) -> Tensor:
        """(B,), from 0 on. Raises ``RuntimeError`` before `fit`."""
        if self._known is None:
            raise RuntimeError("K-density: it was not fitted, so it knows no training features")
        scores, z = class_scores_and_features(model, self.objective, x)
        predicted = scores.argmax(1)
        found = z.new_full((len(z),), torch.finfo(z.dtype).max)
        for label in predicted.unique().tolist():
            if len(known := self._known[label]):
                index = (predicted == label).nonzero().squeeze(1)
                found = found.index_copy(0, index, self._surprise(z[index], known))
        return found

    def _surprise(self, z: Tensor, known: Tensor) -> Tensor:
        # Not by a matrix product, whose rounding would swamp the distances of neighbours.
        squared = torch.cdist(z, known, compute_mode="donot_use_mm_for_euclid_dist").square()
        return math.log(len(known)) - (-squared / self._variance).logsumexp(1)


def _median(known: list[Tensor]) -> float:
    """Of the squared distances between features of one class."""
    distances = torch.cat([torch.pdist(z[:_OF_MEDIAN]).square() for z in known])
    if len(distances) == 0 or not float(distances.median()) > 0:
        raise ValueError("images: got none that differ in their features among those of one class, expected some")
    return float(distances.median())


@dataclass(frozen=True)
class KernelDensityOptions(Options):
    """Of the kernel density."""

    kde_bandwidth: float | str | None = option(
        None, "σ² of K-density, or median, from features (default: 1/0.26; 0.1/0.26 after reverse cross entropy)",
        above=0, words=(MEDIAN,),
    )  # fmt: skip
    kde_images: int = option(1000, "training features of a class that K-density keeps, at most", least=1)


def build(fitting: Fitting, options: KernelDensityOptions) -> KernelDensity:
    """With the paper's σ² for the objective, where none is given."""
    usual = REVERSE_BANDWIDTH if isinstance(fitting.objective, ReverseCrossEntropy) else BANDWIDTH
    return KernelDensity(fitting.objective, options.kde_bandwidth or usual, options.kde_images)


DETECTOR = NamedDetector(
    "k-density", "density of training features of the predicted class (Feinman et al. 2017)", build,
    KernelDensityOptions,
)  # fmt: skip
