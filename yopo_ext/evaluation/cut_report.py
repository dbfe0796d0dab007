# SPDX-License-Identifier: MIT
"""What n frozen steps buy, by how deep into the network the first layer reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..adversaries import Loss, random_start
from ..first_layer_cuts import find_cut, find_cuts
from ..found_first_layer import FoundFirstLayer
from ..inference_mode import outside_inference_mode
from ..projection import feasible_set, per_channel
from .frozen_costate import Staleness, loss_and_gradient, staleness
from .mode import frozen_eval
from .prefix_share import inner_units, prefix_share
from .tables import format_table

#: Images on which a cut is looked for and checked.
_IMAGES = 8
#: Deeper ones are left out where none are named: an inner step costs more than a forward pass there.
_DEEPEST = 0.5


@dataclass(frozen=True)
class Cut:
    """One first layer of a network.

    Attributes:
        name: of its last module.
        modules: as `YOPO` takes them.
        share: of the network's multiply-adds.
        linear: whether n steps in it share one gradient.
        kernel: whether they run through the kernels; else through autograd.
    """

    name: str
    modules: tuple[nn.Module, ...]
    share: float
    linear: bool
    kernel: bool

    def units(self, n: int) -> float:
        """Cost of n inner steps, in forward passes of the network."""
        return inner_units(self.share, n, linear=self.linear)

    def extra_units(self, n: int) -> float:
        """Cost of a pass and n >= 1 inner steps beyond the 2 of a first gradient.

        The pass's backward pass ends at the cut: the first step goes through it instead.
        """
        return self.units(n) - self.share


@dataclass(frozen=True)
class CutValue:
    """What n frozen steps inside a cut found.

    Attributes:
        cut: the module that it reaches to, and what a step costs.
        staleness: step by step.
    """

    cut: Cut
    staleness: Staleness

    @property
    def gain(self) -> float:
        """Loss that the n steps added."""
        return sum(self.staleness.gain)

    @property
    def bought(self) -> float:
        """Of that, what the first gradient repeated n times does not add."""
        return self.staleness.bought[-1]

    @property
    def bought_per_unit(self) -> float | None:
        """By what the n steps cost beyond the first gradient; None for a linear cut, whose steps are just that."""
        return None if self.cut.linear else self.bought / self.cut.extra_units(len(self.staleness.gain))


@dataclass(frozen=True)
class CutReport:
    """All cuts of one network, at one start, on the same images.

    images, eps, alpha, n: what was measured; start: mean loss at the random start; fresh_gain: what each of n steps
    along the network's own gradient at its own η added (PGD), 2 units each; values: cut by cut, from the shallowest on.
    """

    images: int
    eps: float
    alpha: float
    n: int
    start: float
    fresh_gain: list[float]
    values: tuple[CutValue, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {name: getattr(self, name) for name in ("images", "eps", "alpha", "n", "start", "fresh_gain")}
        return {**found, "cuts": [_plain(value) for value in self.values]}

    def to_table(self) -> str:
        """A line a cut; then what the losses are between."""
        columns = "cut|of the network|units a step|cosine|equal signs|gain|bought|a unit|path"
        rows = [(value.cut.name, *_cells(value, self.n)) for value in self.values]
        repeated = sum(self.values[0].staleness.repeated_gain)
        return "\n".join(
            [
                f"{self.images} images, eps {self.eps:.4g}, alpha {self.alpha:.4g}, n {self.n}; cosine and signs are "
                "of the last step;",
                "bought: what the frozen steps add beyond the first gradient repeated as often",
                format_table(columns.split("|"), rows),
                f"loss {self.start:.4f} at the random start; the first gradient repeated adds {repeated:.4f}, fresh "
                f"ones {sum(self.fresh_gain):.4f} (2 units a step)",
            ]
        )


@outside_inference_mode
def cut_report(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    cuts: Sequence[str] | None = None,
    eps: float,
    alpha: float,
    n: int,
    loss: Loss = cross_entropy,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    norm: str = "linf",
    seed: int = 0,
) -> CutReport:
    """Follows n steps with the co-state frozen inside each cut, all from the same random start (`staleness`).

    Args:
        model: in evaluation mode meanwhile; afterwards as it was.
        x, y, eps, alpha, loss, bounds, norm, seed: as for `staleness`.
        cuts: names of modules (`find_cut`); None: all there are whose inner step costs at most one forward pass.
        n: steps >= 1.

    Raises:
        ValueError: as `find_cut` and `staleness`; a cut named twice, or none.
    """
    options: dict[str, Any] = {"eps": eps, "bounds": bounds, "norm": norm}
    with frozen_eval(model):
        found = measured_cuts(model, x, cuts)
        values = [
            CutValue(cut, staleness(model, cut.modules, x, y, alpha=alpha, n=n, loss=loss, seed=seed, **options))
            for cut in found
        ]
        generator = torch.Generator(x.device).manual_seed(seed)
        start = random_start(x, generator=generator, **options)
        losses = list(_fresh_losses(model, x, y, start, alpha, n, loss, options))
    gains = [after - before for before, after in pairwise(losses)]
    return CutReport(len(x), eps, alpha, n, losses[0], gains, tuple(values))


def measured_cuts(model: nn.Module, x: Tensor, names: Sequence[str] | None) -> list[Cut]:
    """The cuts of these names, with what they cost; None: all whose inner step costs at most one forward pass.

    Raises:
        ValueError: as `find_cut`; a name twice, or no cut.
    """
    few = x[:_IMAGES]
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"cuts: got {', '.join(names)}, expected each once")
    found = find_cuts(model, few) if names is None else [find_cut(model, name, few) for name in names]
    cuts = [_cut(model, one, x) for one in found]
    if names is None:
        cuts = [cut for cut in cuts if cut.share <= _DEEPEST]
    if not cuts:
        raise ValueError(
            f"cuts: got none, and {type(model).__name__} has none whose inner step costs at most one forward pass"
        )
    return sorted(cuts, key=lambda cut: cut.share)


def _cut(model: nn.Module, found: FoundFirstLayer, x: Tensor) -> Cut:
    share = prefix_share(model, found.modules, x)
    return Cut(found.names[-1], found.modules, share, found.linear, found.kernel)


def _fresh_losses(
    model: nn.Module, x: Tensor, y: Tensor, eta: Tensor, alpha: float, n: int, loss: Loss, options: dict[str, Any]
) -> Iterator[float]:
    """At the start and after each of n steps along the network's own gradient."""
    feasible = feasible_set(x, **options)
    for _ in range(n):
        before, gradient = loss_and_gradient(model, loss, x, eta, y)
        yield before
        eta = feasible.step(eta, gradient, per_channel(alpha, x))
    with torch.no_grad():
        yield loss(model(x + eta), y).item()


def _plain(value: CutValue) -> dict[str, Any]:
    cut, steps = value.cut, value.staleness
    return {
        "name": cut.name, "share": cut.share, "linear": cut.linear, "kernel": cut.kernel,
        "units_a_step": cut.units(1), "bought": value.bought, "bought_per_unit": value.bought_per_unit,
        **asdict(steps),
    }  # fmt: skip


def _cells(value: CutValue, n: int) -> Iterator[str]:
    cut, steps = value.cut, value.staleness
    yield f"{100 * cut.share:.1f} %"
    yield f"{cut.units(n) / n:.3f}"
    yield f"{steps.cosine[-1]:.3f}"
    yield f"{100 * steps.sign_agreement[-1]:.1f} %"
    yield f"{value.gain:.4f}"
    yield f"{value.bought:+.4f}"
    yield "-" if value.bought_per_unit is None else f"{value.bought_per_unit:+.4f}"
    yield "kernels" if cut.kernel else "autograd"


def reached(report: CutReport, gains: Sequence[float]) -> list[float]:
    """The loss at the start and after each step of such gains."""
    return list(accumulate(gains, initial=report.start))
