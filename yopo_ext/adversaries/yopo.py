# SPDX-License-Identifier: MIT
"""YOPO-m-n ("You Only Propagate Once", Zhang et al., NeurIPS 2019): m full passes, n cheap steps each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments, backends
from ..arguments import Bounds, PerChannel
from ..ball import Ball, times
from ..batch_statistics import BN_STATISTICS, BN_STATISTICS_HELP
from ..costate import Costate, capture_costate, cut_at_first_layer
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..layer_explanation import LayerExplanation
from ..loss_scale import losses_are_scaled, watched
from ..module_sequence import Modules
from ..objectives import cross_entropy
from ..objectives.objective import Loss, Objective, as_objective
from ..options import Options, option
from ..projection import FeasibleSet
from ..stopwatch import NoStopwatch, Stopwatch
from .adversary import backward
from .bounds_watch import BoundsWatch
from .first_pass import InputProbe, gradients_held_back, is_recorded
from .method import Ingredients, Method
from .metrics import batch_metrics
from .random_start import draw, feasible_images
from .reducer import require_no_sync
from .weight_pass import one_pass_objective

REDUCTIONS = ("mean", "sum")
FIRST_LAYER_GRADS = ("hamiltonian", "backprop", "both")


class YOPO:
    """YOPO-m-n: the perturbation is updated inside the first layer only, with the co-state p frozen.

    A mini-batch costs m full forward and backward passes, each at the current perturbation, and after each n
    ascent steps on Σ p ⊙ f0(x + η); the weights move once, when the caller steps the optimiser.

    Args:
        model: called as model(x + eta); its mode is the caller's business (in training mode batch-norm
            statistics are updated m times a mini-batch).
        first_layer: what the model applies to its input first, normalisation included: a module, a sequence
            of modules called one after another, or a `FirstLayer`.
        m: full passes >= 1.
        n: inner steps after each pass >= 0.
        eps, alpha, bounds, norm: the `Ball`.
        loss: a function loss(outputs, y), 0-d, or an objective. As one pass gives both the weights' gradient and p, the
            steps climb what the weights descend: the objective's `train`, also where its `attack` is another.
        reduction: "mean" averages the gradients of the m passes, so that the learning rate does not depend on
            m; "sum" adds them, as the authors do.
        first_layer_grad: what the first layer's own parameters get. "hamiltonian" (the paper): the graph is
            cut at f0, and they get ∂H at the η after the n steps. "backprop": the ordinary gradient. "both":
            the sum of the two, as in the authors' code.
        bn_statistics: what batch norm in the first layer, in training mode, normalises with in the n steps. "frozen":
            what it did in the pass, as p is that pass's, so that the kernels run. "batch": each step's own images,
            through autograd. ∂H has the statistics of its images either way. None: as the `FirstLayer` given says,
            else "frozen".
        generator: for the random start, on the images' device.
        direction, precision, backend: of the n steps, and of the first layer's own gradient, as for
            `yopo_ext.inner_ascent`.

    Attributes:
        ball: may be set between mini-batches, for attacks that grow.
        eta: the last mini-batch's last perturbation, None before the first. With "backprop", or a first layer
            that is frozen, the n steps after the last pass would be thrown away and are not made.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for an objective that asks for the outputs at the
            clean images.
    """

    replays = 1

    def __init__(
        self,
        model: nn.Module,
        first_layer: Modules | FirstLayer,
        m: int = 5,
        n: int = 3,
        eps: PerChannel = 8 / 255,
        alpha: PerChannel = 2 / 255,
        *,
        loss: Loss | Objective = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        reduction: str = "mean",
        first_layer_grad: str = "hamiltonian",
        bn_statistics: str | None = None,
        generator: torch.Generator | None = None,
        direction: str = "sign",
        precision: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.model, self.ball = model, Ball(eps, alpha, bounds, norm)
        self.first_layer = FirstLayer(first_layer, bn_statistics)
        self.m = arguments.count("m", m, least=1)
        self.n = arguments.count("n", n)
        self.objective = one_pass_objective(as_objective(loss), "YOPO")
        self.reduction = arguments.one_of("reduction", reduction, REDUCTIONS)
        self.first_layer_grad = arguments.one_of("first_layer_grad", first_layer_grad, FIRST_LAYER_GRADS)
        self.generator = generator
        self.direction = arguments.one_of("direction", direction, arguments.DIRECTIONS)
        self.precision = arguments.precision(precision)
        self.backend = backends.requested(backend) if backend is not None else None
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._checked = False
        self._cuts = False

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Any) -> dict[str, Tensor]:
        """The m passes on images x (B, C, H, W) and targets y; their gradients are added to `.grad`.

        Returns:
            As `batch_metrics`: "loss" is the mean over the m passes, "correct" counts the last one's
            predictions.

        Raises:
            TypeError, ValueError: naming the argument; ValueError also for images outside of `bounds`.
            RuntimeError: the first layer has no co-state (see `capture_costate`), or, in the first batch, its
                adjoint is not the network's input gradient (see `input_gradient_error`); or the model is a
                `DistributedDataParallel` outside of its `no_sync`. In the first batch nothing has been added to `.grad`
                then; later, gradients of the pass that failed may have been.
        """
        if self.direction == "gradient" and losses_are_scaled():
            raise ValueError("direction: got gradient with a loss that is scaled, as for float16, expected sign")
        feasible = feasible_images(self.ball, x)
        self._watch_bounds(feasible, self.ball.bounds)
        x = feasible.x
        eta = self.begin(feasible)
        if not self._checked:
            self._cuts = self._prepare(x)
        if self.first_layer.trains and (self._cuts or self.first_layer_grad != "backprop"):
            require_no_sync(self.model)
        losses = []
        for index in range(self._passes):
            ascends = index < self._passes - 1 or self._needs_last_ascent
            with self.stopwatch.span("passes"):
                loss, outputs, costate = self._pass(x + eta, y, ascends, index == 0)
            losses.append(loss)
            if ascends:
                with self.stopwatch.span("inner"):
                    eta = self._ascend(feasible, eta, costate)
        self.eta = eta
        return batch_metrics(self.objective, torch.stack(losses).mean(), outputs, y, len(x))

    def begin(self, feasible: FeasibleSet) -> Tensor:
        """η⁰ of a mini-batch, in the feasible set."""
        return draw(feasible, self.generator)

    def explain(self, x: Tensor | None = None) -> LayerExplanation:
        """How the n steps run and, given images x, on which backend; see `FirstLayer.explain`."""
        ball = self.ball
        return self.first_layer.explain(
            x, eps=ball.eps, alpha=ball.alpha, steps=self.n, bounds=ball.bounds, norm=ball.norm,
            direction=self.direction, **self._where,
        )  # fmt: skip

    @property
    def _where(self) -> dict[str, Any]:
        return {"precision": self.precision, "backend": self.backend}

    @property
    def _passes(self) -> int:
        """Full passes before a step of the weights."""
        return self.m

    @property
    def _needs_last_ascent(self) -> bool:
        return self.first_layer_grad != "backprop" and self.first_layer.trains

    def _prepare(self, x: Tensor) -> bool:
        """Whether the passes cut the graph at f0. Raises where the backend asked for cannot run."""
        if self.backend is None and self.first_layer_grad == "hamiltonian":
            return True
        found = self.explain(x).backend
        fuses = found is not None and backends.get(found.backend).fuses_gradient
        # With batch norm in training mode ∂H is autograd's.
        return self.first_layer_grad == "hamiltonian" or (fuses and not self.first_layer.uses_batch_statistics)

    def _pass(self, adversarial: Tensor, y: Any, ascends: bool, is_first: bool) -> tuple[Tensor, Any, Any]:
        """One full pass: the detached loss, the outputs and, if there is a use for it, the co-state."""
        # The ordinary gradient of the first layer is ∂H at the pass's own images, so the graph may be cut either way.
        fused = self._cuts and self.first_layer_grad != "hamiltonian" and self.first_layer.trains
        # After the first pass `.grad` has been touched.
        if self._checked or not is_first or is_recorded():
            loss, outputs, costate = self._run(adversarial, y, self._catch(ascends or fused))
        else:
            with gradients_held_back(self.model, self.objective):
                probe = InputProbe(self.first_layer, adversarial)
                loss, outputs, costate = self._run(probe.images, y, probe.catch(cuts=self._cuts))
                batch_metrics(self.objective, loss, outputs, y, len(adversarial))  # raises here, if it does
                self._checked = probe.compare(costate)
        if fused:
            self.first_layer.accumulate_hamiltonian(adversarial, costate.value, **self._where)
        return loss, outputs, costate

    def _run(self, images: Tensor, y: Any, catch: AbstractContextManager[Costate | None]) -> tuple[Tensor, Any, Any]:
        with catch as costate:
            outputs = self.model(images)
            loss = self.objective.train(outputs, y)
            # Scaling the loss scales p alike, and so ∂H; whatever .grad already holds is left as it is.
            backward(loss, 1.0 / self._passes if self.reduction == "mean" else 1.0)
        # Nobody needs the graph after the backward pass.
        outputs = outputs.detach() if isinstance(outputs, Tensor) else outputs
        return loss.detach(), outputs, costate

    def _catch(self, wants_costate: bool) -> AbstractContextManager[Costate | None]:
        if self._cuts:
            return cut_at_first_layer(self.first_layer)
        return capture_costate(self.first_layer) if wants_costate else nullcontext()

    def _ascend(self, feasible: FeasibleSet, eta: Tensor, costate: Costate) -> Tensor:
        ball, p = self.ball, costate.value
        if self.direction == "gradient" and self.reduction == "mean":
            ball = replace(ball, alpha=times(ball.alpha, self._passes))  # p is that of the pass's loss over m
        eta = self.first_layer.ascend(
            ball, feasible, eta, watched(p), steps=self.n, statistics=costate.statistics, direction=self.direction,
            **self._where,
        )  # fmt: skip
        if self.first_layer_grad != "backprop":
            self.first_layer.accumulate_hamiltonian(feasible.x + eta, p, **self._where)
        return eta


@dataclass(frozen=True)
class YOPOOptions(Options):
    """Of YOPO-m-n."""

    m: int = option(5, "full passes a mini-batch", least=1)
    n: int = option(3, "inner steps after each pass", least=0)
    reduction: str = option("mean", "of the m passes' gradients", choices=REDUCTIONS)
    first_layer_grad: str = option("hamiltonian", "what the first layer's parameters get", choices=FIRST_LAYER_GRADS)
    bn_statistics: str = option("frozen", BN_STATISTICS_HELP, choices=BN_STATISTICS)


def _build(given: Ingredients) -> YOPO:
    ball, options = given.ball, given.options
    return YOPO(
        given.model, given.first_layer, options.m, options.n, ball.eps, ball.alpha, loss=given.objective,
        bounds=ball.bounds, norm=ball.norm, reduction=options.reduction, first_layer_grad=options.first_layer_grad,
        bn_statistics=options.bn_statistics, generator=given.generator,
    )  # fmt: skip


METHOD = Method(
    "yopo", "YOPO", "M full passes, N steps inside the first layer after each (Zhang et al., NeurIPS 2019)", _build,
    YOPOOptions, numbers=("m", "n"), in_first_layer=True, weights_before_steps=True,
)  # fmt: skip
