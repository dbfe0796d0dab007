# SPDX-License-Identifier: MIT
"""How a network's head declares itself, heads by name, and how one is put onto a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...options import NoOptions
from ...registry import Registry

#: The attribute that a network holds its scores in, and so the prefix of their state-dict keys.
ATTRIBUTE = "scores"


@dataclass(frozen=True)
class Head:
    """What `yopo train --head NAME` puts behind a network's last layer.

    Attributes:
        name: as on the command line.
        help: one line, with the source.
        outputs: called as outputs(classes, options), how many outputs the last layer is built with; raises
            ``ValueError`` where the options do not fit so many classes.
        build: called as build(classes, options), the module from these outputs (B, outputs) to scores (B, classes)
            whose largest is the class, which may have a `note`, a sentence to print where a run begins; None where the
            outputs are the scores. It may draw from torch's global generator.
        options: a frozen dataclass of options.
        distances: whether the scores are −½‖z − μ_k‖² of features z and centres μ_k, which some objectives read.
    """

    name: str
    help: str
    outputs: Callable[[int, Any], int]
    build: Callable[[int, Any], nn.Module | None]
    options: type[Any] = NoOptions
    distances: bool = False


HEADS: Registry[Head] = Registry("head", "yopo_ext.models.heads", Head, "yopo_ext.heads")


def attach_scores(network: nn.Module, scores: nn.Module) -> nn.Module:
    """The network itself, which from now on returns ``scores(outputs)``; it holds them in its attribute ``scores``.

    Its first layer, its `tail` and its other state-dict keys stay what they are.

    Raises:
        ValueError: it is an nn.Sequential, for which ``nn.Sequential(network, scores)`` does the same, or it has an
            attribute of that name.
    """
    if isinstance(network, nn.Sequential):  # it would call it by itself
        raise ValueError("network: got an nn.Sequential, expected another module: append the scores to it instead")
    if hasattr(network, ATTRIBUTE):
        raise ValueError(
            f"network: {type(network).__name__} has an attribute {ATTRIBUTE!r}, which is where they would go"
        )
    network.add_module(ATTRIBUTE, scores)
    network.register_forward_hook(_score)
    return network


def note_of(network: nn.Module) -> str:
    """What a network's scores have to say where a run begins; empty: nothing."""
    return getattr(getattr(network, ATTRIBUTE, None), "note", "")


def scored(network: nn.Module, outputs: Tensor) -> Tensor:
    """What the network returns where its last layer gives these outputs, for who calls its parts instead of it."""
    return _score(network, None, outputs) if _score in network._forward_hooks.values() else outputs


def _score(network: nn.Module, _: Any, outputs: Tensor) -> Tensor:
    scores: nn.Module = getattr(network, ATTRIBUTE)
    return scores(outputs)
