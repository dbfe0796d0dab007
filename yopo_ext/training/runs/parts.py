# SPDX-License-Identifier: MIT
"""What a run is put together from, for events to choose from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from ...adversaries import Adversary
from ...adversaries.method import METHODS, Ingredients
from ...data import Dataset, ImageSet, draw_part, to_float
from ...evaluation.frozen_costate import Staleness, staleness
from ...evaluation.image_source import device_of
from ..config import Config
from ..host import Processes, StopRequest
from .average_statistics import AverageStatistics, norms_of
from .measuring import curve_accuracies

# Images that the staleness of the co-state is measured on.
STALENESS_IMAGES = 256


@dataclass
class Parts:
    """One run's parts.

    Attributes:
        config, data: of the run; the images are on its device.
        model: in training.
        crafting: the adversary of its method.
        ingredients: what that was built from.
        processes: those that share the run.
        show: whether this process prints.
    """

    config: Config
    data: Dataset
    model: nn.Module
    crafting: Adversary
    ingredients: Ingredients
    processes: Processes
    show: bool

    @cached_property
    def curve_images(self) -> ImageSet:
        """The images of the accuracy-time curve: held-out ones where there are any."""
        images = self.data.test if self.data.validation is None else self.data.validation
        return draw_part(images, self.config["curve_images"])

    def natural(self) -> Adversary:
        """What trains on clean images, with the run's objective."""
        method = METHODS["natural"]
        return method.build(replace(self.ingredients, options=method.options()))

    def average_statistics(self, batches: int) -> AverageStatistics | None:
        """What recomputes an average's batch norm on so many mini-batches; None where there is nothing to do."""
        return AverageStatistics(self, batches) if batches and norms_of(self.model) else None

    def measure_curve(self, model: nn.Module, stop: StopRequest) -> dict[str, float]:
        """A point of the accuracy-time curve."""
        return curve_accuracies(self.config, model, self.curve_images, self.processes, stop)

    def measure_staleness(self, model: nn.Module, step_scale: float) -> Staleness:
        """How stale the co-state becomes with the run's settings, on a part of the curve's images.

        Args:
            step_scale: what its step size is multiplied by.
        """
        part, ball = draw_part(self.curve_images, STALENESS_IMAGES), self.config.ball
        held = part.in_memory(device_of(model))
        return staleness(
            model, self.ingredients.first_layer, to_float(held.images), held.labels, eps=ball.eps,
            alpha=step_scale * ball.alpha, n=max(self.config["n"], 1), loss=self.ingredients.objective.attack,
            norm=ball.norm,
        )  # fmt: skip
