# SPDX-License-Identifier: MIT
"""YOPO-m-n ("You Only Propagate Once", Zhang et al., NeurIPS 2019): m full passes, n cheap steps each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from yopo_ext import arguments
from yopo_ext.adversaries.adversary import Loss, backward
from yopo_ext.adversaries.bounds_watch import BoundsWatch
from yopo_ext.adversaries.first_pass import InputProbe, gradients_held_back, is_recorded
from yopo_ext.adversaries.metrics import batch_metrics, detached
from yopo_ext.adversaries.radius import require_radius_below_box
from yopo_ext.adversaries.random_start import Bounds, random_start
from yopo_ext.arguments import PerChannel
from yopo_ext.costate import Costate, capture_costate, cut_at_first_layer
from yopo_ext.first_layer import FirstLayer, LayerExplanation, Modules
from yopo_ext.inference_mode import outside_inference_mode
from yopo_ext.objectives import cross_entropy
from yopo_ext.stopwatch import NoStopwatch, Stopwatch

REDUCTIONS = ("mean", "sum")
FIRST_LAYER_GRADS = ("hamiltonian", "backprop", "both")

# Backends whose gradient of the first layer is one fused pass, cheaper than the convolution library's backward.
FUSED_BACKENDS = frozenset({"cpu", "cuda", "triton"})


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
        eps: radius; alpha: step size. One value, or with linf one per channel and eps less than the width of `bounds`.
        loss: loss(outputs, y), 0-d; the outputs are whatever the model returns.
        bounds: the box (low, high) of valid images, each one value or one per channel; None: no box and no check.
        norm: "linf" or "l2".
        reduction: "mean" averages the gradients of the m passes, so that the learning rate does not depend on
            m; "sum" adds them, as the authors do.
        first_layer_grad: what the first layer's own parameters get. "hamiltonian" (the paper): the graph is
            cut at f0, and they get ∂H at the η after the n steps. "backprop": the ordinary gradient. "both":
            the sum of the two, as in the authors' code.
        generator: for the random start, on the images' device.

    Attributes:
        eta: the last mini-batch's last perturbation, None before the first. With "backprop" the n steps after
            the last pass would be thrown away and are not made.

    Raises:
        TypeError, ValueError: naming the argument.
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
        loss: Loss = cross_entropy,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        reduction: str = "mean",
        first_layer_grad: str = "hamiltonian",
        generator: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.first_layer = FirstLayer(first_layer)
        self.m = arguments.count("m", m)
        if m == 0:
            raise ValueError("m: got 0, expected at least 1 full pass")
        self.n = arguments.count("n", n)
        self.norm = arguments.one_of("norm", norm, arguments.NORMS)
        require_radius_below_box(eps, bounds, norm)
        self.eps, self.alpha, self.bounds = eps, alpha, bounds
        self.loss = loss
        self.reduction = arguments.one_of("reduction", reduction, REDUCTIONS)
        self.first_layer_grad = arguments.one_of("first_layer_grad", first_layer_grad, FIRST_LAYER_GRADS)
        self.generator = generator
        self.eta: Tensor | None = None
        self.stopwatch: Stopwatch | NoStopwatch = NoStopwatch()
        self._watch_bounds = BoundsWatch()
        self._checked = False
        self._cuts = False

    @outside_inference_mode
    def accumulate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The m passes on images x (B, C, H, W) and targets y; their gradients are added to `.grad`.

        Returns:
            As `batch_metrics`: "loss" is the mean over the m passes, "correct" counts the last one's
            predictions.

        Raises:
            TypeError, ValueError: naming the argument; ValueError also for images outside of `bounds`.
            RuntimeError: the first layer has no co-state (see `capture_costate`), or, in the first batch, its
                adjoint is not the network's input gradient (see `input_gradient_error`). Nothing has been added to
                `.grad` then.
        """
        eta = random_start(x, eps=self.eps, bounds=self.bounds, norm=self.norm, generator=self.generator)
        self._watch_bounds(x, self.bounds)
        x = x.detach()
        if not self._checked:
            self._cuts = self.first_layer_grad == "hamiltonian" or self._has_fused_gradient(x)
        losses = []
        for index in range(self.m):
            ascends = index < self.m - 1 or self._needs_last_ascent
            with self.stopwatch.span("passes"):
                loss, outputs, p = self._pass(x + eta, y, ascends, index == 0)
            losses.append(loss)
            if ascends:
                with self.stopwatch.span("inner"):
                    eta = self._ascend(x, eta, p)
        self.eta = eta
        return batch_metrics(torch.stack(losses).mean(), outputs, y, len(x))

    def explain(self, x: Tensor | None = None) -> LayerExplanation:
        """How the n steps run and, given images x, on which backend; see `FirstLayer.explain`."""
        return self.first_layer.explain(
            x, eps=self.eps, alpha=self.alpha, steps=self.n, bounds=self.bounds, norm=self.norm
        )

    @property
    def _needs_last_ascent(self) -> bool:
        return self.first_layer_grad != "backprop" and self.first_layer.trains

    def _has_fused_gradient(self, x: Tensor) -> bool:
        backends = self.explain(x).backend
        return backends is not None and backends.backend in FUSED_BACKENDS

    def _pass(
        self, adversarial: Tensor, y: object, ascends: bool, is_first: bool
    ) -> tuple[Tensor, object, Tensor | None]:
        """One full pass: the detached loss, the outputs and, if there is a use for it, p."""
        # The ordinary gradient of the first layer is ∂H at the pass's own images, so the graph may be cut either way.
        fused = self._cuts and self.first_layer_grad != "hamiltonian" and self.first_layer.trains
        # After the first pass `.grad` has been touched.
        if self._checked or not is_first or is_recorded():
            loss, outputs, p = self._run(adversarial, y, self._catch(ascends or fused))
        else:
            with gradients_held_back(self.model, self.loss):
                probe = InputProbe(self.first_layer, adversarial)
                loss, outputs, p = self._run(probe.images, y, probe.catch(cuts=self._cuts))
                self._checked = probe.compare(p)
        if fused:
            self.first_layer.accumulate_hamiltonian(adversarial, p)
        return loss, outputs, p

    def _run(
        self, images: Tensor, y: object, catch: AbstractContextManager[Costate | None]
    ) -> tuple[Tensor, object, Tensor | None]:
        with catch as costate:
            outputs = self.model(images)
            loss = self.loss(outputs, y)
            # Scaling the loss scales p alike, and so ∂H; whatever .grad already holds is left as it is.
            backward(loss, 1.0 / self.m if self.reduction == "mean" else 1.0)
        return loss.detach(), detached(outputs), None if costate is None else costate.value

    def _catch(self, wants_costate: bool) -> AbstractContextManager[Costate | None]:
        if self._cuts:
            return cut_at_first_layer(self.first_layer)
        return capture_costate(self.first_layer) if wants_costate else nullcontext()

    def _ascend(self, x: Tensor, eta: Tensor, p: Tensor) -> Tensor:
        eta = self.first_layer.inner_ascent(
            x, eta, p, eps=self.eps, alpha=self.alpha, steps=self.n, bounds=self.bounds, norm=self.norm
        )
        if self.first_layer_grad != "backprop":
            self.first_layer.accumulate_hamiltonian(x + eta, p)
        return eta
