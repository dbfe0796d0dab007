# SPDX-License-Identifier: MIT
"""Batch norm's running statistics of an average of the weights, recomputed on a few mini-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...adversaries import Adversary
from ...adversaries.method import METHODS
from ...ball import times
from ...data import Batch, ImageSet, draw_part
from ...gradient_exchange import sum_together
from ...joint_generator import JointGenerator
from ...module_modes import modes_kept
from ...random_streams import derive_seed
from ..host import StopRequest
from ..loop.layer_noise import LayerNoise
from .batches import training_batches
from .networks import memory_format
from .start import start_of

if TYPE_CHECKING:
    from ..loop.trainer import Trainer
    from .parts import Parts


class AverageStatistics:
    """Gives an average of a run's weights the statistics that its own activations have, as torch's `update_bn` does.

    They are the mean, over a few mini-batches of training images, of what batch norm meets in the passes that the run's
    method makes for such a mini-batch: at perturbed images, found for the average itself, the whole attack whatever a
    warm-up has come to, in full precision. What is drawn follows from the run's seed and the epoch alone, and the
    network in training, its gradients and random streams stay as they are.

    Args:
        parts: of the run.
        batches: how many mini-batches >= 1, of the images of as many, always the same.
    """

    def __init__(self, parts: Parts, batches: int) -> None:
        self.parts, self.batches = parts, batches

    def __call__(self, average: nn.Module, trainer: Trainer) -> None:
        """After an epoch; all processes take part.

        Raises:
            Interrupted: a stop was requested; the statistics are made anew when the run goes on.
        """
        config, processes, device = self.parts.config, self.parts.processes, trainer.device
        seed = derive_seed(config.loop.seed, f"batch norm of the average after epoch {trainer.epoch}")
        generator = JointGenerator(device)
        generator.manual_seed(seed)
        norms, models = norms_of(average), norms_of(trainer.model)
        whole = len(self._images) >= config.loop.batch_size
        batches = training_batches(config, self._images, processes, device, seed=seed, drop_last=whole)
        # An attack in evaluation mode starts from those of the network in training, also where a run is taken up here.
        _copy_statistics(models, norms)
        images = 0
        noise = LayerNoise(derive_seed(seed, f"layers of process {processes.rank}"), device)
        with _gathering(average, norms), noise.in_use():
            adversary = self._adversary(average, generator, trainer)
            for batch in batches:
                self._stop_if_asked(trainer.stop, device)
                images += self._pass(adversary, generator, batch, trainer.prepared(batch.x))
        average.zero_grad(set_to_none=True)
        self._share(norms, images, device)

    @cached_property
    def _images(self) -> ImageSet:
        return draw_part(self.parts.data.train, self.batches * self.parts.config.loop.batch_size)

    def _adversary(self, average: nn.Module, generator: JointGenerator, trainer: Trainer) -> Adversary:
        """What the run trains with, natural samples while that is delayed, on the average."""
        given = self.parts.ingredients
        names = {module: name for name, module in given.model.named_modules()}
        layer = [given.first_layer] if isinstance(given.first_layer, nn.Module) else given.first_layer
        first_layer = tuple(average.get_submodule(names[module]) for module in layer)
        # The training's own start would draw from the training's generator, and remember these images.
        data = replace(self.parts.data, train=self._images)
        place = next(average.parameters()).device
        start = start_of(self.parts.config, data, generator, place, self.parts.processes).make()
        ball = replace(given.ball, alpha=times(given.ball.alpha, trainer.step_scale))
        given = replace(given, model=average, ball=ball, first_layer=first_layer, generator=generator, start=start)
        if trainer.in_use is trainer.adversary:
            return METHODS[self.parts.config.method.name].build(given)
        method = METHODS["natural"]
        return method.build(replace(given, options=method.options()))

    def _pass(self, adversary: Any, generator: JointGenerator, batch: Batch, x: Tensor) -> int:
        """The method's passes over this process's images of a mini-batch, prepared as x; how many images these are."""
        generator.rows = batch.rows if self.parts.processes.count > 1 else None
        if hasattr(adversary, "see"):
            adversary.see(batch)
        x = x.contiguous(memory_format=memory_format(self.parts.config))
        for _ in range(adversary.replays):
            if len(x):
                adversary.accumulate(x, batch.y)
            if hasattr(adversary, "settle"):  # where processes exchange, those without images too
                adversary.settle()
        return len(x)

    def _stop_if_asked(self, stop: StopRequest, device: torch.device) -> None:
        """All processes at the same mini-batch, or none."""
        if self.parts.processes.count == 1:
            stop.check()
        elif self.parts.processes.any(stop.requested, device):
            stop.obey_another()

    def _share(self, norms: Sequence[Any], images: int, device: torch.device) -> None:
        """All processes' statistics become one: each process's weigh by its images."""
        processes = self.parts.processes
        if processes.count > 1:
            mine = torch.tensor(float(images), device=device)
            share = mine / processes.sum(mine.clone())
            sum_together([one for norm in norms for one in (norm.running_mean, norm.running_var)], processes.sum, share)


def norms_of(model: nn.Module) -> list[Any]:
    """The batch norms that have running statistics."""
    found = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [norm for norm in found if norm.running_mean is not None and norm.num_batches_tracked is not None]


def _copy_statistics(sources: Sequence[Any], norms: Sequence[Any]) -> None:
    for source, norm in zip(sources, norms, strict=True):
        norm.running_mean.copy_(source.running_mean)
        norm.running_var.copy_(source.running_var)


@contextmanager
def _gathering(model: nn.Module, norms: Sequence[Any]) -> Iterator[None]:
    """In training mode, where running statistics become the means over the block's passes; then it is as before."""
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    with modes_kept(model.modules()):
        try:
            model.train()
            for norm, _, count in before:
                # Without a momentum the first pass replaces what there was, and the k-th moves it by 1/k.
                norm.momentum, norm.num_batches_tracked = None, torch.zeros_like(count)
            yield
        finally:
            for norm, momentum, count in before:
                norm.momentum, norm.num_batches_tracked = momentum, count
