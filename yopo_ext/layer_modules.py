# SPDX-License-Identifier: MIT
"""Reads [normalisation,] convolution [, batch norm] [, activation] out of modules, or says why it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from .activation import parse_activation
from .arguments import NOTHING
from .backends.call import Layer
from .batch_statistics import BatchStatistics, uses_batch_statistics
from .compiled_regions import unwrap_compiled
from .joint_batch_norm import JointBatchNorm

#: Of the hooks that may change what a module computes.
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
#: Batch norms that are folded into the convolution.
FOLDED = (nn.BatchNorm2d, nn.SyncBatchNorm, JointBatchNorm)


class NotAConvolutionLayer(Exception):
    """The modules are none that the operators can stand for; the message says why."""

    def refuse(self, backend: str) -> RuntimeError:
        """For who asked for a backend all the same."""
        return RuntimeError(f"backend: got {backend!r}, expected None: the first layer runs through autograd: {self}")


@dataclass(frozen=True)
class ConvolutionLayer:
    """Arguments of the operators; weight (K, C, kh, kw) and bias (K,) carry the graph to the parameters."""

    weight: Tensor
    bias: Tensor | None
    options: dict[str, Any]

    def output_like(self, x: Tensor) -> Tensor:
        """An uninitialised f0(x) for x (B, C, H, W)."""
        stride, padding, dilation = (list(self.options[key]) for key in ("stride", "padding", "dilation"))
        size = Layer(self.weight, self.bias, stride, padding, dilation, self.options["activation"], NOTHING).out_size(
            *x.shape[2:]
        )
        return x.new_empty((x.shape[0], self.weight.shape[0], *size))


def read_layer(modules: Sequence[nn.Module], statistics: BatchStatistics | None = None) -> ConvolutionLayer:
    """The modules, called one after another, as one convolution layer.

    Args:
        statistics: what batch norms that use those of the batch are held at.

    Raises:
        NotAConvolutionLayer: with the reason.
    """
    if len(modules) == 1 and (read := getattr(modules[0], "read_as_convolution", None)) is not None:
        _require_own_forward(modules[0])
        return read(statistics or {})
    parts: list[Any] = [part for module in modules for part in _flatten(module) if not _is_identity(part)]
    mean_and_std = normalization_of(parts.pop(0)) if parts and is_normalization(parts[0]) else {}
    if not parts or not _is_plain_convolution(parts[0]):
        raise NotAConvolutionLayer(f"expected a convolution, found {_name(parts[0]) if parts else 'nothing'}")
    conv = parts.pop(0)
    geometry = _geometry(conv)
    if conv.training and any(True for _ in conv.buffers()):
        # Reading such a weight (spectral norm's) in training mode changes the state.
        raise NotAConvolutionLayer("the convolution's weight is computed from buffers")
    weight, bias = conv.weight, conv.bias
    if weight.dtype not in (torch.float32, torch.float64):
        raise NotAConvolutionLayer(f"the weights are {weight.dtype}")
    if parts and isinstance(parts[0], nn.modules.batchnorm._BatchNorm):
        weight, bias = fold(parts.pop(0), weight, bias, statistics or {})
    activation = parse_activation("identity")
    if parts:
        try:
            activation = parse_activation(parts[0])
        except TypeError:
            raise _too_much(parts[0], "is not a known activation") from None
    if len(parts) > 1:
        raise _too_much(parts[1], "follows the activation")
    return ConvolutionLayer(weight, bias, {**geometry, **mean_and_std, "activation": activation})


def weighted_layers(modules: Iterable[nn.Module]) -> int:
    """How many convolutions and linear layers are in them, at any depth: more than one is deeper than a kernel goes."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return len({one for module in modules for one in module.modules() if isinstance(one, kinds)})


def _too_much(module: nn.Module, why: str) -> NotAConvolutionLayer:
    if weighted_layers([module]):
        return NotAConvolutionLayer(f"it goes on with {_name(module)}, another layer")
    return NotAConvolutionLayer(f"{_name(module)} {why}")


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _flatten(module: nn.Module) -> Iterator[nn.Module]:
    module = unwrap_compiled(module)
    _require_own_forward(module)
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for child in module:
            yield from _flatten(child)
    else:
        yield module


def _require_own_forward(module: nn.Module) -> None:
    """Raises where a module may compute something else than its class does."""
    if "forward" in vars(module):
        raise NotAConvolutionLayer(f"{_name(module)} has a forward of its own")
    for kind in HOOKS:
        # Such a hook may change what the module computes. Ours only looks on.
        if any(not getattr(hook, "only_observes", False) for hook in getattr(module, kind).values()):
            raise NotAConvolutionLayer(f"{_name(module)} has {kind.strip('_').replace('_', ' ')}")


def _is_identity(module: nn.Module) -> bool:
    return type(module) is nn.Identity or (isinstance(module, _DropoutNd) and not module.training)


def is_normalization(module: nn.Module) -> bool:
    """Whether it is taken for (x - mean) / std."""
    if not (hasattr(module, "mean") and hasattr(module, "std")):
        return False
    own = {name for name, _ in module.named_parameters()} <= {"mean", "std"}
    return own and not any(module.children())


def normalization_of(module: nn.Module) -> dict[str, Any]:
    """Its mean and std as they are now. Raises as `read_layer`."""
    values: dict[str, Any] = {"mean": module.mean, "std": module.std}
    for name, value in values.items():
        if isinstance(value, Tensor) and value.requires_grad:
            raise NotAConvolutionLayer(f"{_name(module)}.{name} requires grad")
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        if len(shape) > 1 and value.numel() > 1 and shape[-3:] != (value.numel(), 1, 1):
            raise NotAConvolutionLayer(f"{_name(module)}.{name} is not one value per channel")
    return values


def _is_plain_convolution(module: nn.Module) -> bool:
    """Also with a parametrised weight, which is computed where it is read."""
    return (
        isinstance(module, nn.Conv2d)
        and type(module).forward is nn.Conv2d.forward
        and type(module)._conv_forward is nn.Conv2d._conv_forward
    )


def _geometry(conv: nn.Conv2d) -> dict[str, Any]:
    if conv.groups != 1:
        raise NotAConvolutionLayer(f"the convolution has groups={conv.groups}")
    if conv.padding_mode != "zeros":
        raise NotAConvolutionLayer(f"the convolution has padding_mode={conv.padding_mode!r}")
    padding = conv.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        if any(size % 2 for size in total):
            raise NotAConvolutionLayer("the convolution's padding='same' is not symmetric")
        padding = tuple(size // 2 for size in total)
    return {"stride": conv.stride, "padding": padding, "dilation": conv.dilation}


def fold(
    norm: nn.modules.batchnorm._BatchNorm, weight: Tensor, bias: Tensor | None, statistics: BatchStatistics
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution with the batch norm that follows it. Raises as `read_layer`."""
    if type(norm) not in FOLDED:
        raise NotAConvolutionLayer(f"{_name(norm)} is no batch norm that can be folded")
    mean: Any
    var: Any
    if not uses_batch_statistics(norm):
        mean, var = norm.running_mean, norm.running_var
    elif norm in statistics:
        mean, var = statistics[norm]
    else:
        raise NotAConvolutionLayer("the batch norm uses the statistics of the batch (training mode)")
    scale = (var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean * scale if bias is None else (bias - mean) * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return weight * scale.reshape(-1, 1, 1, 1), shift
