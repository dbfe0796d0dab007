# SPDX-License-Identifier: MIT
"""From a configuration to a run: what `yopo train` puts together, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ...adversaries import Adversary
from ...adversaries.method import METHODS, Ingredients
from ...adversaries.starts import Start
from ...ball import Ball
from ...data import Dataset, to_float
from ...evaluation.image_source import device_of
from ...evaluation.mode import frozen_eval
from ...found_first_layer import FoundFirstLayer
from ...joint_generator import JointGenerator
from ...models.heads import note_of
from ...models.initial_weights import start_from
from ...random_streams import derive_seed, drawing_from
from ..config import Config
from ..events import EVENTS, Event
from ..files import LAST
from ..host import Processes, StopRequest, open_device
from ..loop import GraphedAdversary, Trainer, check_last_batch, with_joint_statistics
from .batches import training_batches
from .first_layer import choose_first_layer
from .networks import last_layer_outputs, make_model, memory_format
from .objective import make_objective
from .optimizer import learning_rates, make_optimizer
from .parts import Parts
from .prepare_data import prepare_data, settled
from .small_images import check_small_images
from .start import start_of
from .trained import check_same_run


class Run:
    """A configuration's trainer, and the parts that it was put together from.

    Args:
        config: of the run.
        folder: of its files.
        data: its images; None: read as the configuration says.
        processes: those that share the run.
        device: this process's, where it is not the configuration's.
        show: whether it prints.

    Raises:
        ValueError: a model that does not fit the images, or whose batch norm does not fit the last mini-batch; a device
            that is not there; settings that do not go with the device or the processes.
        OSError: nothing can be written into the folder, which is made, with its parents, if it is not there.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        data: Dataset | None = None,
        *,
        processes: Processes | None = None,
        device: str | None = None,
        show: bool = True,
        stop: StopRequest | None = None,
    ) -> None:
        self.folder = folder
        processes = Processes() if processes is None else processes
        with processes.together():
            place = open_device(device or config.host.device)
            self.data = (prepare_data(config) if data is None else data).to(place)
            self.config = config = settled(config, self.data)
            # A run that goes on takes its weights from there.
            starts = not (folder / LAST).is_file()
            _check_members(config, self.data)
            model, told = _new_model(config, self.data, processes, place, starts=starts)
            _check_outputs(config, model, self.data)
            first_layer, found = choose_first_layer(config, model, self.data)
        processes.copy_from_first(model.state_dict().values())
        self.stop = StopRequest() if stop is None else stop
        show = show and processes.is_first
        generator = JointGenerator(place).manual_seed(derive_seed(config.loop.seed, "starts"))
        begins = start_of(config, self.data, generator, place, processes)
        if show:
            _tell(config, (*told, *begins.told), found)
        with processes.together():
            ingredients = _ingredients(config, model, first_layer, generator, begins.make())
        crafting = METHODS[config.method.name].build(ingredients)
        self.parts = Parts(config, self.data, model, crafting, ingredients, processes, show)
        loop = config.loop
        self.trainer = Trainer(
            model, _as_asked(config, crafting, ingredients.generator, processes, place),
            training_batches(
                config, self.data.train, processes, place, seed=loop.seed, drop_last=config.data.drop_last
            ),
            make_optimizer(config, model, first_layer), epochs=loop.epochs, schedule=learning_rates(config),
            folder=folder, events=_events(self.parts), processes=processes, seed=loop.seed, amp=config.speed.amp,
            memory_format=memory_format(config), log_every=loop.log_every,
            clip_grad_norm=loop.clip_grad_norm, accumulate=loop.accumulate, about=config.to_dict(),
        )  # fmt: skip

    def resume(self) -> None:
        """Goes on from the folder's last checkpoint; raises as `Trainer.resume`, also for one of other settings."""
        with self.parts.processes.together():
            check_same_run(self.folder / LAST, self.config)
        self.trainer.resume()

    def fit(self) -> None:
        """Trains; raises as `Trainer.fit`."""
        self.trainer.fit(self.stop)


def _new_model(
    config: Config, data: Dataset, processes: Processes, device: torch.device, *, starts: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network to train, and what there is to say of its head and of the weights that it starts from."""
    with drawing_from(derive_seed(config.loop.seed, "weights")):
        model = make_model(config, data)
    check_small_images(config, model, data)
    file, told = config.model.init_weights, [note_of(model)] if starts else []
    if starts and file is not None:
        told.append(start_from(model, Path(file), last_layer_outputs(config, data.train.num_classes)))
    joint, size, drop_last = config.model.sync_bn, config.loop.batch_size, config.data.drop_last
    check_last_batch(
        model, data.train, batch_size=size, drop_last=drop_last, processes=1 if joint else processes.count,
        side=min(config["progressive_sizes"], default=None),
    )  # fmt: skip
    model.to(device)
    if joint:
        model = with_joint_statistics(
            model, processes, device, images=len(data.train), batch_size=size, drop_last=drop_last
        )
    return model, tuple(told)


def _check_members(config: Config, data: Dataset) -> None:
    check = getattr(make_objective(config), "check_members", None)
    if check is not None:
        check(config.model.members, data.train.num_classes)


def _check_outputs(config: Config, model: nn.Module, data: Dataset) -> None:
    """Raises ``ValueError`` where the objective cannot read what the network says of an image."""
    with drawing_from(derive_seed(config.loop.seed, "a look at outputs")), frozen_eval(model), torch.no_grad():
        outputs = model(to_float(data.train.images[:2].to(device_of(model))))
        try:
            make_objective(config).predict(outputs)
        except (TypeError, ValueError) as error:
            raise ValueError(f"objective {config.objective.name}, network {config.model.model}: {error}") from error


def _tell(config: Config, told: Sequence[str], found: FoundFirstLayer | None) -> None:
    for text in filter(None, (*told, None if found is None else str(found))):
        print(f"{config.label}: {text}", flush=True)


def _ingredients(
    config: Config, model: nn.Module, first_layer: Sequence[nn.Module], generator: torch.Generator, start: Start
) -> Ingredients:
    ball = Ball(config.ball.eps, config.ball.alpha, norm=config.ball.norm)
    return Ingredients(
        model, first_layer, ball, make_objective(config), config.method.options, generator, start,
        config.speed.attack_in_kernel,
    )  # fmt: skip


def _as_asked(
    config: Config, adversary: Adversary, generator: torch.Generator, processes: Processes, device: torch.device
) -> Adversary:
    """The adversary, as a CUDA graph where the configuration wants one."""
    if not config.speed.cuda_graph:
        return adversary
    if device.type != "cuda" or processes.count > 1:
        where = f"{processes.count} processes on {device}"
        raise ValueError(f"cuda_graph: got {where}, expected one process on a CUDA device")
    return GraphedAdversary(adversary, generator)


def _events(parts: Parts) -> Sequence[Event]:
    found = (EVENTS[one.name].build(one.options, parts) for one in parts.config.events)
    return [event for event in found if event is not None]
