# SPDX-License-Identifier: MIT
"""A network's first layer: its modules as arguments of the operators, or autograd where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from . import arguments, layer_by_autograd, layer_gradients, ops
from .arguments import Bounds, PerChannel
from .ball import Ball
from .batch_statistics import BN_STATISTICS, BatchStatistics, norms_on_the_batch, statistics_to_hold
from .checks import require_floating, require_tensor
from .compiled_prefix import CompiledPrefix
from .inference_mode import outside_inference_mode
from .kept_reading import KeptReading
from .layer_explanation import LayerExplanation, explain_layer
from .layer_modules import ConvolutionLayer, NotAConvolutionLayer
from .module_sequence import Modules, module_sequence
from .projection import FeasibleSet


class FirstLayer:
    """f0 of a network for the operators `inner_ascent` and `hamiltonian` (YOPO, Zhang et al., NeurIPS 2019).

    It refers to the network's own modules, reads weights and training mode at every call, and is no module
    itself: as an attribute of a model it adds no state-dict keys, and a deep copy of both keeps pointing into
    the copy.

    A layer made of [normalisation,] nn.Conv2d [, batch norm] [, activation] runs through the
    operators, batch norm folded into weight and bias. Normalisation is any module with attributes `mean` and
    `std` (a scalar or one value per channel) and nothing else to it. Whatever else there is goes through
    autograd, slower; `explain` says which. Buffers (running statistics, for one) are never changed.

    Batch norm in training mode couples the images of a batch. For the inner steps its mean and variance may be held
    at those of the pass that gave p, which makes it an affine map per channel; H and ∂H stay exact, through autograd.

    Args:
        module: the layer, or a sequence of modules that the network calls one after another.
        bn_statistics: what batch norm in training mode normalises with in the inner steps. "frozen": what it did in
            the pass, which has to be handed in (`Costate.statistics`). "batch": each step's own images, through
            autograd, slower. None: as in the `FirstLayer` given, else "frozen".

    Raises:
        TypeError: neither a module nor a sequence of modules.
        ValueError: an empty sequence, or another word.

    Attributes:
        modules: in the order of their calls.
        bn_statistics: "frozen" or "batch".
        input_gradient_error: what the check of YOPO's first batch found; None before it.
    """

    def __init__(self, module: Modules | FirstLayer, bn_statistics: str | None = None) -> None:
        given = module.modules if isinstance(module, FirstLayer) else module_sequence(module)
        self.modules: tuple[nn.Module, ...] = given
        if bn_statistics is None:
            bn_statistics = module.bn_statistics if isinstance(module, FirstLayer) else "frozen"
        self.bn_statistics: str = arguments.one_of("bn_statistics", bn_statistics, BN_STATISTICS)
        self.input_gradient_error: float | None = None
        self._reading = KeptReading()
        self._compiled: CompiledPrefix = CompiledPrefix(isinstance(module, FirstLayer) and module._compiled.wanted)

    def __repr__(self) -> str:
        return f"FirstLayer{self.names}"

    @property
    def names(self) -> str:
        """The modules' classes, for messages: "(Conv2d, ReLU)"."""
        return f"({', '.join(type(module).__name__ for module in self.modules)})"

    def parameters(self) -> Iterator[nn.Parameter]:
        """The layer's parameters, each once."""
        yield from {id(p): p for module in self.modules for p in module.parameters()}.values()

    @property
    def trains(self) -> bool:
        """Whether any parameter requires grad."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def is_read(self) -> bool:
        """Whether it runs through the operators as it is now, without statistics; quick where nothing has changed."""
        return self._read_detached(None, None)[0] is not None

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a batch norm in it normalises with the batch, as in training mode."""
        return bool(norms_on_the_batch(self.modules))

    def compile_steps(self) -> None:
        """From now on inner steps run compiled, by `torch.compile`, where the layer is deeper than the kernels go.

        The first call compiles, and another one with other shapes or dtypes again. Not where batch norm takes the
        statistics of each step's images, nor where other modules than batch norms have buffers.
        """
        self._compiled.wanted = True

    def inner_ascent(
        self,
        x: Tensor,
        eta: Tensor,
        p: Tensor,
        *,
        statistics: BatchStatistics | None = None,
        eps: PerChannel,
        alpha: PerChannel,
        steps: int,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        direction: str = "sign",
        precision: str | None = None,
        backend: str | None = None,
    ) -> Tensor:
        """n projected ascent steps on Σ p ⊙ f0(x + η), p frozen.

        Arguments, result and errors as `yopo_ext.inner_ascent`.

        Args:
            statistics: what batch norm in training mode is held at: `Costate.statistics` of the pass that gave p, or
                by hand a dictionary from each such module to its mean and biased variance, (C,) each. Not needed in
                eval mode, nor with bn_statistics="batch".

        Raises:
            ValueError: also for statistics that are missing, or not wanted.
            RuntimeError: also where `backend` is given and the layer has to go through autograd.
        """
        options: dict[str, Any] = {
            "eps": eps, "alpha": alpha, "steps": steps, "bounds": bounds, "norm": norm, "direction": direction,
        }  # fmt: skip
        layer, held = self._read_detached(backend, statistics)
        if layer is None:
            arguments.precision(precision)
            compiled = self._compiled.of(self.modules, [*held])
            return layer_by_autograd.inner_ascent(self.modules, x, eta, p, held, **options, compiled=compiled)
        options |= {**layer.options, "precision": precision, "backend": backend}
        return ops.packed_inner_ascent((x, eta, p, layer.weight, layer.bias), options)

    def ascend(
        self,
        ball: Ball,
        feasible: FeasibleSet,
        eta: Tensor,
        p: Tensor,
        *,
        steps: int,
        statistics: BatchStatistics | None = None,
        direction: str = "sign",
        precision: str | None = None,
        backend: str | None = None,
    ) -> Tensor:
        """`inner_ascent` in a ball that has been checked before; `feasible` is its set around the images."""
        (layer, held), x = self._read_detached(backend, statistics), feasible.x
        if layer is None:
            return layer_by_autograd.climb(
                self.modules, feasible, ball.step_size(x), eta, p, held, steps=steps, direction=direction,
                compiled=self._compiled.of(self.modules, [*held]),
            )  # fmt: skip
        options = {
            **layer.options, "eps": ball.eps, "alpha": ball.alpha, "steps": steps, "bounds": ball.bounds,
            "norm": ball.norm, "direction": direction, "precision": precision, "backend": backend,
        }  # fmt: skip
        return ops.packed_inner_ascent((x, eta, p, layer.weight, layer.bias), options)

    def hamiltonian(
        self,
        u: Tensor,
        p: Tensor,
        *,
        statistics: BatchStatistics | None = None,
        precision: str | None = None,
        backend: str | None = None,
    ) -> Tensor:
        """H(u, p) = Σ p ⊙ f0(u), 0-d, differentiable in u and in the layer's parameters; p is a constant.

        u is (B, C, H, W), p like f0(u) in any floating dtype. Batch norm in training mode uses the statistics of u;
        where `statistics` are given (as for `inner_ascent`) it is held at these, as constants. Errors as
        `yopo_ext.hamiltonian`.
        """
        held = statistics_to_hold(self.modules, self.bn_statistics, statistics) if statistics else {}
        layer = self._read(backend, held)
        if isinstance(layer, ConvolutionLayer):
            return ops.hamiltonian(
                u, p.detach(), layer.weight, layer.bias, **layer.options, precision=precision, backend=backend
            )
        arguments.precision(precision)
        require_floating("u", u, p=p)
        with torch.autocast(u.device.type, enabled=False):
            return layer_by_autograd.hamiltonian(self.modules, u, p, held)

    def hamiltonian_of_modules(self, u: Tensor, p: Tensor, statistics: BatchStatistics | None = None) -> Tensor:
        """H(u, p) by the modules themselves, under autocast where it is on. Arguments and errors as `hamiltonian`."""
        return layer_by_autograd.hamiltonian(self.modules, u, p, statistics or {})

    @outside_inference_mode
    def accumulate_hamiltonian(
        self,
        u: Tensor,
        p: Tensor,
        *,
        scale: float = 1.0,
        precision: str | None = None,
        backend: str | None = None,
    ) -> None:
        """Add scale · ∂H/∂θ to `.grad` of the layer's parameters that require it, without evaluating H.

        Arguments and errors as for `hamiltonian`. This is the gradient that YOPO gives the first layer at the
        updated perturbation, u = x + η. Batch norm in training mode uses the statistics of u, through autograd on
        any backend.
        """
        if (plain := self._reading.plain(self.modules)) is not None:
            layer_gradients.accumulate_plainly(plain, u, p, scale, precision=precision, backend=backend)
            return
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trained:
            return
        require_tensor("u", u)
        u = u.detach()
        with torch.enable_grad():
            layer = self._read(None if self.bn_statistics == "frozen" and self.uses_batch_statistics else backend, {})
        if layer is None:
            arguments.precision(precision)
            require_floating("u", u, p=p)
            layer_by_autograd.accumulate(self.modules, trained, u, p, scale)
        else:
            layer_gradients.accumulate(layer, trained, u, p, scale, precision=precision, backend=backend)

    def explain(
        self,
        x: Tensor | None = None,
        eta: Tensor | None = None,
        p: Tensor | None = None,
        *,
        eps: PerChannel = 0.0,
        alpha: PerChannel = 0.0,
        steps: int = 1,
        bounds: Bounds = (0.0, 1.0),
        norm: str = "linf",
        direction: str = "sign",
        precision: str | None = None,
        backend: str | None = None,
    ) -> LayerExplanation:
        """Which path `inner_ascent` takes and, given images x, which backend; and what YOPO's first batch showed.

        Nothing runs, and no statistics are needed.

        η and p default to tensors like those of a float32 network. Errors as `inner_ascent`.
        """
        return explain_layer(
            self.modules, (x, eta, p), self.bn_statistics, self.input_gradient_error,
            compiled=self._compiled.takes(self.modules), eps=eps, alpha=alpha, steps=steps,
            bounds=bounds, norm=norm, direction=direction, precision=precision, backend=backend,
        )  # fmt: skip

    def evaluate(self, u: Tensor, statistics: BatchStatistics | None = None) -> Tensor:
        """f0(u) by the modules themselves, as `hamiltonian_of_modules`; what they write to their buffers is dropped."""
        return layer_by_autograd.evaluate(self.modules, u, statistics or {})

    def _read(self, backend: str | None, held: BatchStatistics) -> ConvolutionLayer | None:
        """The layer as the operators take it; None for autograd."""
        try:
            return self._reading.read(self.modules, held)
        except NotAConvolutionLayer as reason:
            if backend is None:
                return None
            raise reason.refuse(backend) from None

    def _read_detached(
        self, backend: str | None, statistics: BatchStatistics | None
    ) -> tuple[ConvolutionLayer | None, BatchStatistics]:
        """As `_read`, without a graph to the parameters, and what batch norms are held at."""
        if not statistics and (layer := self._reading.detached(self.modules)) is not None:
            return layer, {}
        held = statistics_to_hold(self.modules, self.bn_statistics, statistics)
        with torch.no_grad():
            return self._read(backend, held), held
