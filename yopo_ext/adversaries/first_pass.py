# SPDX-License-Identifier: MIT
"""The pass that YOPO checks its first layer in: nothing reaches `.grad` before it is known to be right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..costate import Costate, capture_costate, cut_at_first_layer
from ..first_layer import FirstLayer
from ..input_gradient import TOLERANCE, relative_error, require_input_gradient


class InputProbe:
    """Images of one full pass whose own gradient the pass finds too.

    Args:
        first_layer: whose adjoint is compared with that gradient.
        adversarial: (B, C, H, W); not changed, whatever the model does to its input.

    Attributes:
        images: what the model is to be given.
        leaf: what they were made of, which gets the gradient.
    """

    def __init__(self, first_layer: FirstLayer, adversarial: Tensor) -> None:
        self._first_layer = first_layer
        with torch.enable_grad():
            self.leaf = adversarial.detach().requires_grad_()
            self.images = self.leaf.clone()
        self._shift: float | None = None

    @contextmanager
    def catch(self, *, cuts: bool) -> Iterator[Costate]:
        """The co-state of the pass in the block; with `cuts` the first layer's parameters are kept out of it.

        Raises:
            RuntimeError: as `capture_costate` or `cut_at_first_layer`; or the first layer sees other images.
        """
        caught = cut_at_first_layer(self._first_layer, past=self.leaf) if cuts else capture_costate(self._first_layer)
        handle = self._first_layer.modules[0].register_forward_pre_hook(self._require_images)
        try:
            with caught as costate:
                yield costate
        finally:
            handle.remove()

    def compare(self, costate: Costate) -> bool:
        """Whether there was a gradient to compare.

        Raises:
            RuntimeError: as `require_input_gradient`; or the first layer was given other values than the images. A
                shift before a linear layer leaves the input gradient as it is, but not ∂H/∂W.
        """
        found = require_input_gradient(
            self._first_layer, self.leaf.detach(), costate.value, self.leaf.grad, costate.statistics
        )
        if self._shift is not None and self._shift > TOLERANCE:
            raise RuntimeError(
                f"first_layer {self._first_layer.names} receives other values than the images: relative error "
                f"{self._shift:.2f}, expected at most {TOLERANCE:g}. What the model does before belongs into it "
                "(normalisation?), as in first_layer=(model.normalize, model.conv1)"
            )
        return found

    def _require_images(self, module: nn.Module, args: tuple[object, ...]) -> None:
        if not args or not isinstance(args[0], Tensor):
            return
        given, expected, name = tuple(args[0].shape), tuple(self.leaf.shape), type(module).__name__
        if given == expected:
            self._shift = relative_error(args[0].detach(), self.leaf.detach())
            return
        if given[1:] == expected[1:] and given[0] < expected[0]:
            raise RuntimeError(
                f"the first layer ({name}) sees {given[0]} of {expected[0]} images: p has to be of the whole batch. "
                "nn.DataParallel gives each replica a part: use torch.nn.parallel.DistributedDataParallel"
            )
        raise RuntimeError(
            f"the first layer ({name}) receives shape {given} for images of shape {expected}: whatever the model "
            "applies before it belongs into first_layer, as in first_layer=(model.resize, model.conv1)"
        )


def is_recorded() -> bool:
    """Whether a CUDA graph is being captured, where nothing may wait for the device."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


@contextmanager
def gradients_held_back(*owners: object) -> Iterator[None]:
    """`.grad` of the parameters of `owners` gets what the block accumulates when it ends, nothing if it raises.

    Owners are modules, and objectives made of one (`as_objective`); others are passed over.
    """
    parameters = {parameter: parameter.grad for parameter in _parameters(owners)}
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    except BaseException:
        for parameter, before in parameters.items():
            parameter.grad = before
        raise
    with torch.no_grad():
        for parameter, before in parameters.items():
            if before is not None:
                found, parameter.grad = parameter.grad, before
                if found is not None:
                    before += found  # in its own memory, as autograd does it


def _parameters(owners: Iterable[object]) -> Iterator[nn.Parameter]:
    for owner in owners:
        owner = getattr(owner, "loss", owner) if not isinstance(owner, nn.Module) else owner
        if isinstance(owner, nn.Module):
            yield from owner.parameters()
