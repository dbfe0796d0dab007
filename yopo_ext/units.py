# SPDX-License-Identifier: MIT
"""What a piece of training costs, in units of one forward pass of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from .multiply_adds import MultiplyAdds


class UnitCounter:
    """Counts what runs in its block, in forward passes of a whole network::

        with UnitCounter(model) as counter:
            adversary.accumulate(x, y)
        counter.per_image(len(x))  # FGSM: 5, less the first layer's share of one

    A unit is the multiply-adds of one forward pass: a backward pass to the input is 1 more, to the weights another 1,
    and whatever runs of the network in part counts by its share, as YOPO's steps inside the first layer. They are
    counted from what runs, operator by operator, so that what is skipped costs nothing: an attack's pass has no
    gradients of weights, a pass for the weights none of the images. What is computed is the same bit for bit, except
    where torch.compile compiled it: that runs without compilation in the block. Operators without multiply-adds
    (activations, normalisation, pooling) are free.

    Args:
        model: called in the block, as a module; its last call says what one forward pass is.

    Attributes:
        multiply_adds: of all that ran in the block; it may be entered again, and counts on.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._mode = MultiplyAdds()
        self._hooks: list[Any] = []
        self._before = 0
        self._calls = self._calls_before = 0
        self._each_time = True
        #: multiply-adds and images of the model's last call
        self._pass: tuple[int, int] | None = None

    def __enter__(self) -> UnitCounter:
        self._calls_before = self._calls
        self._hooks = [
            self.model.register_forward_pre_hook(self._begin, prepend=True),
            self.model.register_forward_hook(self._end, with_kwargs=True),
        ]
        self._mode.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._mode.__exit__(*raised)
        for hook in self._hooks:
            hook.remove()
        self._each_time &= self._calls > self._calls_before

    @property
    def multiply_adds(self) -> int:
        """Of all that ran in the block so far."""
        return self._mode.total

    @property
    def has_seen_a_pass(self) -> bool:
        """Whether the network was called, with images and multiply-adds: else there is nothing to count in."""
        return self._pass is not None and min(self._pass) > 0

    @property
    def has_seen_each_pass(self) -> bool:
        """As `has_seen_a_pass`, of each time that the block was entered: a CUDA graph may be recorded in one of them,
        which shows its passes, and replayed in the next, which shows none."""
        return self._each_time and self.has_seen_a_pass

    def per_image(self, images: int) -> float:
        """Units an image, of a mini-batch of so many >= 1 that the block was about.

        Raises:
            ValueError: fewer than one image.
            RuntimeError: the network was not called in the block, or has no multiply-adds.
        """
        if images < 1:
            raise ValueError(f"images: got {images}, expected at least 1")
        if self._pass is None or not self.has_seen_a_pass:
            raise RuntimeError(
                f"model: {type(self.model).__name__} was not called in the block, or has no multiply-adds (a CUDA "
                "graph's replay shows none): there is no forward pass to count in"
            )
        of_pass, its_images = self._pass
        return self.multiply_adds * its_images / (of_pass * images)

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._before = self.multiply_adds

    def _end(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        self._calls += 1
        given = next(_tensors((*args, *kwargs.values())), None)
        if given is not None and given.dim() > 0:
            self._pass = self.multiply_adds - self._before, len(given)

    _begin.only_observes = _end.only_observes = True  # type: ignore[attr-defined]  # read by layer_modules


def _tensors(values: tuple[Any, ...]) -> Iterator[Tensor]:
    return (value for value in values if isinstance(value, Tensor))
