# SPDX-License-Identifier: MIT
"""The public operators: argument reading, torch.library schemas, fake kernels, autograd.

Each is one torch.library operator with one implementation, which picks a backend; so they work under torch.compile,
inside CUDA graphs and with fake tensors.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yopo_ext import arguments, backends
from yopo_ext.activation import Activation, parse_activation
from yopo_ext.arguments import ChannelValues, Pair, PerChannel
from yopo_ext.backends.call import HamiltonianCall, InnerAscentCall, Layer
from yopo_ext.checks import check_hamiltonian, check_inner_ascent, require_tensor

_LAYER_SCHEMA = (
    "Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, str activation, "
    "float[] activation_parameters, float[] normalization, Tensor? normalization_table"
)
_library = torch.library.Library("yopo_ext", "DEF")
_library.define(
    f"inner_ascent(Tensor x, Tensor eta, Tensor p, {_LAYER_SCHEMA}, float[] budget, Tensor? budget_table, "
    "SymInt steps, str norm, str direction, str? precision, str? backend) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    f"hamiltonian(Tensor u, Tensor p, {_LAYER_SCHEMA}, str? precision, str? backend) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    f"hamiltonian_gradients(Tensor u, Tensor p, {_LAYER_SCHEMA}, str? precision, str? backend, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


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
    bounds: tuple[PerChannel, PerChannel] | None = (0.0, 1.0),
    norm: str = "linf",
    direction: str = "sign",
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """n projected ascent steps on H(x + η, p) = Σ p ⊙ f0(x + η), the co-state p frozen, in one kernel.

    This is the inner loop of YOPO-m-n (Zhang et al., NeurIPS 2019, section 2.2), with f0(u) =
    act(conv((u − mean)/std; weight) + bias). η is projected to the feasible set on entry and after each step:
    the ball of radius eps, cut down to the box bounds around x.

    Args:
        x: clean images (B, C, H, W), float32 or float64, in the units of `bounds`.
        eta: the perturbation to start from, like x.
        p: ∂L/∂f0 (B, K, H', W'), the gradient of the loss at the first layer's output, so that the steps increase L;
            float32, bfloat16 or float16 beside float32 images, else float64. NCHW or channels-last is read as it lies.
        weight, bias: the convolution's (K, C, kh, kw) and (K,), of x's dtype.
        eps: radius >= 0; alpha: step size, of any sign. A float or one per channel; a single one with norm="l2".
        steps: n >= 0; 0 only projects.
        stride, padding, dilation: the convolution's, an int or a pair; zeros are padded after normalisation.
        activation: "identity", "relu", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "softplus", "tanh",
            "sigmoid", or an instance of the matching torch.nn module.
        mean, std: the normalisation inside the layer, a float or one per channel.
        bounds: the box (low, high) of valid images, each a float or one per channel; None: no box.
        norm: "linf", or "l2" per sample.
        direction: "sign" (l2: the normalised gradient), or "gradient" for the gradient itself.
        precision: "highest" (float32 multiply-accumulate), "high" (multiplicands of 10 mantissa bits allowed), or
            None for torch's setting for convolutions.
        backend: "cuda", "triton", "cpu", "torch"; None: what YOPO_EXT_BACKEND says, else the first that can run it.

    Returns:
        The new perturbation, like empty_like(eta); it never requires grad. Inputs are not modified.

    Raises:
        TypeError, ValueError, RuntimeError: naming the argument, what was given and what was expected; RuntimeError
            also for an explicit backend that cannot run the call, with its reason.
    """
    call = _read_inner_ascent(
        x, eta, p, weight, bias, eps, alpha, steps, stride, padding, dilation, activation, mean, std, bounds, norm,
        direction, precision,
    )  # fmt: skip
    return torch.ops.yopo_ext.inner_ascent.default(
        x, eta, p, *_flat(call.layer), *call.budget, call.steps, norm, direction, precision, backend
    )


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
    backend: str | None = None,
) -> Tensor:
    """H(u, p) = Σ p ⊙ f0(u), whose derivative is the first layer's own gradient (YOPO, paper section 2).

    Arguments as for `inner_ascent`; u = x + η is (B, C, H, W).

    Returns:
        A 0-d tensor of u's dtype, once differentiable in weight, bias and u (p is a constant).

    Raises:
        TypeError, ValueError, RuntimeError: as `inner_ascent`.
    """
    call = _read_hamiltonian(u, p, weight, bias, stride, padding, dilation, activation, mean, std, precision)
    return torch.ops.yopo_ext.hamiltonian.default(u, p, *_flat(call.layer), precision, backend)


def hamiltonian_gradients(
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
    backend: str | None = None,
    need_input: bool = False,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """∂H/∂weight, ∂H/∂bias (None without a bias) and, if `need_input`, ∂H/∂u, without evaluating H itself.

    Arguments and errors as for `hamiltonian`. The results do not require grad.
    """
    call = _read_hamiltonian(u, p, weight, bias, stride, padding, dilation, activation, mean, std, precision)
    wanted = [True, bias is not None, need_input]
    grads = torch.ops.yopo_ext.hamiltonian_gradients.default(u, p, *_flat(call.layer), precision, backend, wanted)
    return grads[0], grads[1] if bias is not None else None, grads[2] if need_input else None


@dataclass(frozen=True)
class Explanation:
    """Which backend a call would run on, and for each other one why not."""

    backend: str
    others: dict[str, str]
    kernel: str = ""  # which of the backend's kernels, where it has several

    def __str__(self) -> str:
        runs_on = f"{self.backend} ({self.kernel})" if self.kernel else self.backend
        return "\n".join([f"runs on: {runs_on}", *(f"not on {name}: {why}" for name, why in self.others.items())])


def explain(
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
    bounds: tuple[PerChannel, PerChannel] | None = (0.0, 1.0),
    norm: str = "linf",
    direction: str = "sign",
    precision: str | None = None,
    backend: str | None = None,
) -> Explanation:
    """Which backend `inner_ascent` with the same arguments would run on, and why no other. Runs nothing.

    Raises:
        as `inner_ascent`.
    """
    call = _read_inner_ascent(
        x, eta, p, weight, bias, eps, alpha, steps, stride, padding, dilation, activation, mean, std, bounds, norm,
        direction, precision,
    )  # fmt: skip
    check_inner_ascent(call)
    return _explanation(call, backend)


def _explanation(call: backends.Call, backend: str | None) -> Explanation:
    chosen = backends.select(call, backend)
    candidates = {name: backends.get(name) for name in backends.names()}
    chosen_name = next(name for name, candidate in candidates.items() if candidate is chosen)
    others = {name: candidate for name, candidate in candidates.items() if candidate is not chosen}
    why_not = {name: other.can_run(call) or "it could, but was not asked for" for name, other in others.items()}
    return Explanation(chosen_name, why_not, chosen.kernel(call) if hasattr(chosen, "kernel") else "")


# ---- reading what the caller passed ----


def _read_layer(
    channels_of: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    activation: str | nn.Module | Activation,
    mean: PerChannel | None,
    std: PerChannel | None,
) -> Layer:
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
        arguments.normalization(mean, std, _channels(channels_of), channels_of.device),
    )


def _channels(images: Tensor) -> int:
    return images.shape[1] if images.dim() == 4 else 1


def _read_precision(precision: str | None) -> str | None:
    return None if precision is None else arguments.one_of("precision", precision, arguments.PRECISIONS)


def _read_inner_ascent(
    x, eta, p, weight, bias, eps, alpha, steps, stride, padding, dilation, activation, mean, std, bounds, norm,
    direction, precision,
) -> InnerAscentCall:  # fmt: skip
    for name, value in (("x", x), ("eta", eta), ("p", p)):
        require_tensor(name, value)
    arguments.one_of("norm", norm, arguments.NORMS)
    return InnerAscentCall(
        x, eta, p,
        _read_layer(x, weight, bias, stride, padding, dilation, activation, mean, std),
        arguments.budget(eps, alpha, bounds, norm, _channels(x), x.device),
        arguments.count("steps", steps),
        norm,
        arguments.one_of("direction", direction, arguments.DIRECTIONS),
        _read_precision(precision),
    )  # fmt: skip


def _read_hamiltonian(
    u, p, weight, bias, stride, padding, dilation, activation, mean, std, precision
) -> HamiltonianCall:  # fmt: skip
    for name, value in (("u", u), ("p", p)):
        require_tensor(name, value)
    layer = _read_layer(u, weight, bias, stride, padding, dilation, activation, mean, std)
    return HamiltonianCall(u, p, layer, _read_precision(precision))


def _flat(layer: Layer) -> tuple[object, ...]:
    """The layer as the schema spells it; _layer is the way back."""
    # Field by field: torch.compile fails on a slice of a named tuple before torch 2.7.
    convolution = (layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation)
    return (*convolution, layer.activation.kind, list(layer.activation.parameters), *layer.normalization)


def _layer(weight, bias, stride, padding, dilation, kind, parameters, floats, table) -> Layer:
    activation = Activation(kind, tuple(parameters))
    return Layer(weight, bias, stride, padding, dilation, activation, ChannelValues(floats, table))


_LAYER_ARGUMENTS = 9


# ---- the operators' implementations ----


def _without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _inner_ascent_call(x, eta, p, *rest) -> InnerAscentCall:
    floats, table, steps, norm, direction, precision, _ = rest[_LAYER_ARGUMENTS:]
    layer = _layer(*rest[:_LAYER_ARGUMENTS])
    call = InnerAscentCall(x, eta, p, layer, ChannelValues(floats, table), steps, norm, direction, precision)
    check_inner_ascent(call)
    return call


def _hamiltonian_call(u, p, *rest) -> HamiltonianCall:
    call = HamiltonianCall(u, p, _layer(*rest[:_LAYER_ARGUMENTS]), rest[_LAYER_ARGUMENTS])
    check_hamiltonian(call)
    return call


def _inner_ascent_implementation(*args) -> Tensor:
    call = _inner_ascent_call(*args)
    with _without_autocast(call.x):
        return backends.select(call, args[-1]).inner_ascent(call)


def _hamiltonian_implementation(*args) -> Tensor:
    call = _hamiltonian_call(*args)
    with _without_autocast(call.u):
        return backends.select(call, args[-1]).hamiltonian(call)


def _hamiltonian_gradients_implementation(*args) -> tuple[Tensor, Tensor, Tensor]:
    *_, backend, wanted = args
    call = _hamiltonian_call(*args[:-1])
    with _without_autocast(call.u):
        grads = backends.select(call, backend).hamiltonian_gradients(call, tuple(wanted))
    grad_weight, grad_bias, grad_input = (call.u.new_empty(0) if grad is None else grad for grad in grads)
    return grad_weight, grad_bias, grad_input


def _inner_ascent_fake(*args) -> Tensor:
    return torch.empty_like(_inner_ascent_call(*args).eta)


def _hamiltonian_fake(*args) -> Tensor:
    return _hamiltonian_call(*args).u.new_empty(())


def _hamiltonian_gradients_fake(*args) -> tuple[Tensor, Tensor, Tensor]:
    call, wanted = _hamiltonian_call(*args[:-1]), args[-1]
    weight = call.layer.weight
    return (
        weight.new_empty(weight.shape if wanted[0] else 0),
        weight.new_empty(weight.shape[0] if wanted[1] else 0),
        torch.empty_like(call.u) if wanted[2] else call.u.new_empty(0),
    )


# ---- autograd ----


def _not_differentiable(name: str):
    operator = getattr(torch.ops.yopo_ext, name).default

    def forward(keyset, *args):
        # Below autograd, so that no result requires grad.
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*args)

    return forward


def _setup_hamiltonian(ctx, inputs, output) -> None:
    ctx.save_for_backward(*(item for item in inputs if isinstance(item, Tensor)))
    ctx.spec = [None if isinstance(item, Tensor) else (item,) for item in inputs]


def _hamiltonian_backward(ctx, grad):
    tensors = iter(ctx.saved_tensors)
    inputs = [next(tensors) if item is None else item[0] for item in ctx.spec]
    need_input, _, need_weight, need_bias = ctx.needs_input_grad[:4]
    grads = torch.ops.yopo_ext.hamiltonian_gradients.default(*inputs, [need_weight, need_bias, need_input])
    grad_weight, grad_bias, grad_input = (
        grad * item if needed else None
        for item, needed in zip(grads, (need_weight, need_bias, need_input), strict=True)
    )
    return grad_input, None, grad_weight, grad_bias, *([None] * (len(inputs) - 4))


_library.impl("inner_ascent", _inner_ascent_implementation, "CompositeExplicitAutograd")
_library.impl("hamiltonian", _hamiltonian_implementation, "CompositeExplicitAutograd")
_library.impl("hamiltonian_gradients", _hamiltonian_gradients_implementation, "CompositeExplicitAutograd")
torch.library.register_fake("yopo_ext::inner_ascent", _inner_ascent_fake, lib=_library)
torch.library.register_fake("yopo_ext::hamiltonian", _hamiltonian_fake, lib=_library)
torch.library.register_fake("yopo_ext::hamiltonian_gradients", _hamiltonian_gradients_fake, lib=_library)
for _name in ("inner_ascent", "hamiltonian_gradients"):
    _library.impl(_name, _not_differentiable(_name), "Autograd", with_keyset=True)
torch.library.register_autograd(
    "yopo_ext::hamiltonian", _hamiltonian_backward, setup_context=_setup_hamiltonian, lib=_library
)
