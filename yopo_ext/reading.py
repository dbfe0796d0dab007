# SPDX-License-Identifier: MIT
"""The operators' arguments, each written here once: from what a caller passed to a checked call.

The functions carry the operators' names, so that Python's own complaints about arguments name these.
"""

from __future__ import annotations

from torch import Tensor, nn

from . import arguments
from .activation import Activation, parse_activation
from .arguments import Bounds, ChannelValues, Pair, PerChannel
from .backends.call import HamiltonianCall, InnerAscentCall, Layer
from .checks import require_tensor

IN_THE_UNIT_BOX: Bounds = (0.0, 1.0)


def inner_ascent(
    x: Tensor,
    eta: Tensor,
    p: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    eps: PerChannel,
    alpha: PerChannel,
    steps: int,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    activation: str | nn.Module | Activation = "identity",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    bounds: Bounds = IN_THE_UNIT_BOX,
    norm: str = "linf",
    direction: str = "sign",
    precision: str | None = None,
    backend: str | None = None,  # chosen later, see backends.select
) -> InnerAscentCall:
    """The call of `yopo_ext.inner_ascent`; shapes and dtypes are left to `checks`.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name, value in (("x", x), ("eta", eta), ("p", p)):
        require_tensor(name, value)
    layer = read_layer(x, weight, bias, stride, padding, dilation, activation, mean, std)
    return InnerAscentCall(
        x, eta, p, layer, budget(x, eps, alpha, bounds, norm), arguments.count("steps", steps), norm,
        arguments.one_of("direction", direction, arguments.DIRECTIONS), arguments.precision(precision),
    )  # fmt: skip


def hamiltonian(
    u: Tensor,
    p: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    activation: str | nn.Module | Activation = "identity",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    precision: str | None = None,
    backend: str | None = None,  # chosen later, see backends.select
) -> HamiltonianCall:
    """The call of `yopo_ext.hamiltonian`. Raises as `inner_ascent`."""
    for name, value in (("u", u), ("p", p)):
        require_tensor(name, value)
    layer = read_layer(u, weight, bias, stride, padding, dilation, activation, mean, std)
    return HamiltonianCall(u, p, layer, arguments.precision(precision))


def budget(
    images: Tensor, eps: PerChannel, alpha: PerChannel, bounds: Bounds = IN_THE_UNIT_BOX, norm: str = "linf"
) -> ChannelValues:
    """Rows eps, alpha[, low, high] of a call on these images. Raises as `inner_ascent`."""
    return arguments.pack(arguments.budget_rows(eps, alpha, bounds, norm, _channels(images)), images.device)


def read_layer(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    activation: str | nn.Module | Activation,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> Layer:
    """The layer of a call on these images. Raises as `inner_ascent`."""
    require_tensor("weight", weight)
    if bias is not None:
        require_tensor("bias", bias)
    return Layer(
        weight,
        bias,
        arguments.pair("stride", stride, 1),
        arguments.pair("padding", padding, 0),
        arguments.pair("dilation", dilation, 1),
        parse_activation(activation),
        arguments.normalization(mean, std, _channels(images), images.device),
    )


def _channels(images: Tensor) -> int:
    return images.shape[1] if images.dim() == 4 else 1
