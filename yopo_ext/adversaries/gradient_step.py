# SPDX-License-Identifier: MIT
"""One step of a gradient attack: by autograd down to the images, or to the first convolution and on in its kernel.

The input gradient is the adjoint of the first convolution, applied to the gradient at its output. So a step's last two
operations, the convolution's backward pass to the images (few channels, a shape that libraries are bad at) and the
projected step, are the kernel of a linear first layer with steps=1. What follows the convolution (batch norm in any
mode, dropout, the rest of the network) is differentiated as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import arguments, backends
from ..first_layer import FirstLayer
from ..layer_explanation import LayerExplanation
from ..layer_modules import read_layer
from ..module_sequence import Modules
from ..projection import FeasibleSet
from .attack_pass import Caught, CaughtCostate, Probe
from .first_pass import is_recorded

#: "auto": where it is known to be faster and equal to rounding; "on": wherever a kernel takes it; "off": never.
IN_KERNEL = ("auto", "on", "off")
IN_KERNEL_HELP = (
    "whether attacks end their steps in the first convolution's kernel: auto (where measured faster), on, off"
)
_HALF = "in half precision the network's own gradient is rounded in another way"
#: Images of more channels gain nothing: with 4 to 6 it is the same time, with more the library is faster.
MOST_CHANNELS = 3
#: Multiply-adds of the convolution's adjoint for the batch; for less, catching p in Python costs what the kernel saves.
LEAST_WORK = 1_000_000


@dataclass(frozen=True)
class StepExplanation:
    """How a gradient attack's steps are made.

    Attributes:
        reason: why by autograd down to the images; empty where the first convolution's kernel ends them.
        layer: how that runs; None for autograd.
    """

    reason: str
    layer: LayerExplanation | None

    def __str__(self) -> str:
        if self.reason:
            return f"attack steps by autograd down to the images: {self.reason}"
        return f"attack steps by autograd down to the first convolution, and on in its kernel\n{self.layer}"


class GradientStep:
    """How the steps of one attack are made, decided by the network, the images and a check.

    On the first step that it may shorten, the network's own input gradient is found too and compared with the first
    convolution's adjoint (`input_gradient_error`). Where they differ the network's own serves, from then on.

    Args:
        first_layer: the network's first layer, as for `YOPO`, of which the kernel takes what goes before and includes
            the convolution; None or empty: not known, so by autograd.
        in_kernel: "auto" shortens steps where that was measured to be faster and changes η by nothing but the signs of
            gradients within rounding of 0: linf steps in float32, on a CPU, on images of up to three channels in
            batches that are not tiny (`LEAST_WORK`), through the native kernels. "on" shortens all steps that a kernel
            takes, on GPUs, under autocast and with l2 too, and raises where none does. "off" shortens none.

    Raises:
        TypeError, ValueError: naming the argument; ValueError also for "on" without a first layer that kernels take.
    """

    def __init__(self, first_layer: Modules | FirstLayer | None = None, in_kernel: str = "auto") -> None:
        self.in_kernel = arguments.one_of("in_kernel", in_kernel, IN_KERNEL)
        self._layer: FirstLayer | None = None
        self._refused, self.checked = "", False
        self._asked: tuple[object, ...] = ()
        self._answer = False
        if in_kernel == "off":
            self._refused = "it is switched off"
            return
        try:
            self._layer = first_convolution(first_layer)
        except ValueError as reason:
            self._refuse(str(reason))

    def takes(self, feasible: FeasibleSet) -> bool:
        """Whether steps in this set end in the kernel, unless the check says otherwise.

        Raises:
            ValueError: not, with in_kernel="on".
        """
        if self._refused or self._layer is None:
            return False
        asked = _decisive(feasible)
        if not self._layer.is_read:
            asked = ()
        if not asked or asked != self._asked:
            self._answer, self._asked = not self._declined(feasible.x, feasible.norm), asked
        return self._answer

    @contextmanager
    def catch(self, feasible: FeasibleSet, eta: Tensor, *, takes: bool, cuts: bool = True) -> Iterator[Caught]:
        """One pass at x + η, made in the block on the images of what it yields; then `Caught.move` makes the step.

        Args:
            takes: what `takes` said of the set.
            cuts: whether the graph ends at the first convolution's output, as where only the images want a gradient.
        """
        layer = None if self._refused or not takes else self._layer
        if layer is None or (not self.checked and is_recorded()):
            yield Caught(feasible, eta)
        elif self.checked:
            caught = CaughtCostate(feasible, eta, layer, cuts=cuts)
            with caught.watching():
                yield caught
        else:
            probe = Probe(feasible, eta, layer)
            with probe.watching():
                yield probe
            self._judge(probe)

    def explain(self, x: Tensor | None = None, norm: str = "linf") -> StepExplanation:
        """How steps on images x (B, C, H, W) are made, and why. Raises as `takes`."""
        reason = self._refused or ("" if x is None else self._declined(x, norm))
        layer = None if reason or self._layer is None else self._layer.explain(x, norm=norm)
        return StepExplanation(reason, layer)

    def _declined(self, x: Tensor, norm: str) -> str:
        """Why the steps on these images are autograd's; empty where they are not."""
        layer = self._layer
        assert layer is not None  # else it has been refused
        if torch.compiler.is_compiling():
            return "it runs inside a compiled region"
        found = layer.explain(x, norm=norm)
        if found.backend is None:
            reason = found.reason
        elif found.backend.backend == "torch":
            reason = "; ".join(f"not on {name}: {why}" for name, why in found.backend.others.items())
        elif self.in_kernel == "on":
            reason = ""
        else:
            reason = _not_known_to_be_faster(x, norm, found.backend.backend, _multiply_adds(layer, x))
        if reason and self.in_kernel == "on":
            raise ValueError(_cannot(reason))
        return reason

    def _refuse(self, reason: str) -> None:
        if self.in_kernel == "on":
            raise ValueError(_cannot(reason))
        self._refused, self._layer = reason, None

    def _judge(self, probe: Probe) -> None:
        """Takes what the check found for good, unless there was nothing to compare."""
        try:
            found = probe.compare()
        except RuntimeError as reason:
            if self.in_kernel == "on":
                raise
            self._refuse(str(reason))
            return
        if self.in_kernel == "auto" and probe.is_half:
            self._refuse(_HALF)
        else:
            self.checked = probe.by_kernel = found


def first_convolution(first_layer: Modules | FirstLayer | None) -> FirstLayer:
    """[normalisation,] convolution: what a first layer begins with, and linear, whatever follows.

    Raises:
        TypeError: no modules. ValueError: there is none that the kernels take, with the reason.
    """
    if first_layer is None or first_layer == ():
        raise ValueError("the network's first layer is not known")
    parts: list[nn.Module] = []
    for part in _parts(FirstLayer(first_layer).modules):
        parts.append(part)
        if isinstance(part, nn.Conv2d):
            break
    else:
        raise ValueError(f"the first layer is {FirstLayer(first_layer).names}, without a convolution of its own")
    layer = FirstLayer(parts)
    if reason := layer.explain().reason:
        raise ValueError(reason)
    return layer


def _parts(modules: tuple[nn.Module, ...]) -> Iterator[nn.Module]:
    """The modules that the network calls, those inside nn.Sequential too."""
    for module in modules:
        if type(module) is nn.Sequential:
            yield from _parts(tuple(module))
        else:
            yield module


def _decisive(feasible: FeasibleSet) -> tuple[object, ...]:
    """What the answer depends on beside the modules, about which `is_read` asks."""
    x = feasible.x
    half = torch.is_autocast_enabled(x.device.type)
    return x.shape, x.stride(), x.dtype, x.device, feasible.norm, half, *backends.environment()


def _multiply_adds(layer: FirstLayer, x: Tensor) -> int:
    """Of the convolution, or its adjoint, on these images."""
    with torch.no_grad():
        read = read_layer(layer.modules)
    return read.output_like(x.to("meta")).numel() * read.weight[0].numel()


def _not_known_to_be_faster(x: Tensor, norm: str, backend: str, multiply_adds: int) -> str:
    if norm != "linf":
        return f"norm is {norm}, whose steps follow the gradient's last bits"
    if torch.is_autocast_enabled(x.device.type):
        return _HALF
    if backend != "cpu":
        return f"it would run on {backend}, where it has not been measured"
    if x.shape[1] > MOST_CHANNELS:
        return f"the images have {x.shape[1]} channels, and from {MOST_CHANNELS + 1} on it is not faster"
    if multiply_adds < LEAST_WORK:
        return f"the convolution makes {multiply_adds} multiply-adds, and below {LEAST_WORK} it is not faster"
    return ""


def _cannot(reason: str) -> str:
    return f"in_kernel: got 'on', expected 'auto' or 'off' here: {reason}"


#: Stateless: by autograd, whatever the network is.
BY_AUTOGRAD = GradientStep(in_kernel="off")
