# SPDX-License-Identifier: MIT
"""How stale the frozen co-state becomes over the n inner steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from ..adversaries import Loss, random_start
from ..adversaries.adversary import backward
from ..batch_statistics import BatchStatistics
from ..costate import capture_costate
from ..first_layer import FirstLayer
from ..inference_mode import outside_inference_mode
from ..module_sequence import Modules
from ..png_figure import new_figure, save_figure
from ..projection import FeasibleSet, feasible_set, per_channel
from .mode import frozen_eval


@dataclass(frozen=True)
class Staleness:
    """One entry a step, from the first: before it, p was frozen 0, 1, 2, … steps ago.

    Attributes:
        cosine: mean over the images of the cosine between the frozen-p gradient and the network's own at the same η.
        sign_agreement: share of the elements where the two have the same sign, which is what a linf step sees.
        gain: what the step added to the mean loss.
        fresh_gain: what a step along the network's own gradient, from the same η, would have added; it costs a full
            pass.
        repeated_gain: what each further step along the first gradient added, from the same start and without evaluating
            f0 again: what one step of so many times the size does. The sum of `gain` less the sum of this is what n
            buys. Empty in logs of versions that did not measure it.
    """

    cosine: list[float]
    sign_agreement: list[float]
    gain: list[float]
    fresh_gain: list[float]
    repeated_gain: list[float] = field(default_factory=list)

    @property
    def bought(self) -> list[float]:
        """By the first step, the first two, …: how much more loss the frozen steps reach than the repeated gradient."""
        differences = (one - other for one, other in zip(self.gain, self.repeated_gain, strict=False))
        return list(accumulate(differences))


@outside_inference_mode
def staleness(
    model: nn.Module,
    first_layer: Modules | FirstLayer,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    alpha: float,
    n: int,
    loss: Loss = cross_entropy,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    norm: str = "linf",
    seed: int = 0,
) -> Staleness:
    """Follows n inner steps from a random start, and beside each step asks the whole network.

    Where the cosine has decayed, or the gain left that of a fresh step, further steps are wasted and another full pass
    is better: fewer n, more m. Where the gains are those of the first gradient repeated, n is a factor of the step size
    and no more; with a bare convolution as first layer the frozen gradient is one and the same at every step.

    Args:
        model: in evaluation mode meanwhile; afterwards as it was.
        first_layer: as for `YOPO`.
        x: images (B, C, H, W), floating point, inside ``bounds``, y: targets of ``loss``, as (B,) int64.
        eps, alpha: radius and step size, in the units of the images.
        n: steps >= 1.
        loss: called as loss(outputs, y), the mean over the batch.
        bounds, norm: as of `Ball`.
        seed: of the random start.

    Raises:
        ValueError: n below 1, a loss that is not 0-d; else as `inner_ascent`.
    """
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1 step")

    def loss_at(eta: Tensor) -> float:
        return float(loss(model(x + eta), y))

    layer = FirstLayer(first_layer)
    result = Staleness([], [], [], [], [])
    generator = torch.Generator(x.device).manual_seed(seed)
    eta = random_start(x, eps=eps, bounds=bounds, norm=norm, generator=generator)
    with frozen_eval(model):
        with capture_costate(layer) as costate:
            backward(loss(model(x + eta), y))
        p, held = costate.value, costate.statistics
        feasible = feasible_set(x, eps, bounds, norm)
        repeated = _Repeated(loss_at, feasible, eta, per_channel(alpha, x))
        for _ in range(n):
            before, fresh = loss_and_gradient(model, loss, x, eta, y)
            frozen = _frozen_gradient(layer, x + eta, p, held)
            result.cosine.append(float(cosine_similarity(frozen.flatten(1), fresh.flatten(1)).mean()))
            result.sign_agreement.append(float((frozen.sign() == fresh.sign()).float().mean()))
            by_network = feasible.step(eta, fresh, per_channel(alpha, x))
            budget: dict[str, Any] = {"eps": eps, "alpha": alpha, "steps": 1, "bounds": bounds, "norm": norm}
            eta = layer.inner_ascent(x, eta, p, statistics=held, **budget)
            with torch.no_grad():
                result.gain.append(loss_at(eta) - before)
                result.fresh_gain.append(loss_at(by_network) - before)
                result.repeated_gain.append(repeated.gain(before, fresh))
    return result


class _Repeated:
    """Steps along the gradient at the start, again and again."""

    def __init__(self, loss_at: Callable[[Tensor], float], feasible: FeasibleSet, eta: Tensor, alpha: Tensor) -> None:
        self._loss_at, self._feasible, self._eta, self._alpha = loss_at, feasible, eta, alpha
        self._first: tuple[float, Tensor] | None = None

    def gain(self, loss: float, gradient: Tensor) -> float:
        """Of one more; loss and gradient are those at the start, at the first call, and of no use later."""
        before, gradient = self._first or (loss, gradient)
        self._eta = self._feasible.step(self._eta, gradient, self._alpha)
        after = self._loss_at(self._eta)
        self._first = after, gradient
        return after - before


def loss_and_gradient(model: nn.Module, loss: Loss, x: Tensor, eta: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Of the whole network, the gradient at the images."""
    leaf = eta.clone().requires_grad_()
    value = loss(model(x + leaf), y)
    return float(value.detach()), torch.autograd.grad(value, leaf)[0]


def _frozen_gradient(layer: FirstLayer, u: Tensor, p: Tensor, held: BatchStatistics) -> Tensor:
    leaf = u.clone().requires_grad_()
    return torch.autograd.grad(layer.hamiltonian(leaf, p, statistics=held), leaf)[0]


def plot_staleness(measured: Sequence[tuple[str, Staleness]], target: Path | BinaryIO, *, title: str) -> None:
    """Writes a PNG: on the left how well the frozen gradient points, on the right what each step gains.

    Args:
        measured: (name, staleness), one colour each, as "epoch 3".
        target: a path or a binary file.
    """
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    for index, (name, one) in enumerate(measured):
        steps = range(1, len(one.cosine) + 1)
        colour = {"color": f"C{index}", "marker": ".", "markersize": 5}
        left.plot(steps, one.cosine, label=name, **colour)
        right.plot(steps, one.gain, label=f"{name}, frozen p", **colour)
        right.plot(steps, one.fresh_gain, label=f"{name}, fresh gradient", linestyle="--", **colour)
        if one.repeated_gain:
            right.plot(steps, one.repeated_gain, label=f"{name}, first gradient again", linestyle=":", **colour)
    left.set(xlabel="inner step", ylabel="cosine (frozen p, whole network)", ylim=(None, 1.02))
    right.set(xlabel="inner step", ylabel="gain in loss")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    save_figure(figure, target)
