# SPDX-License-Identifier: MIT
"""The torch.library operators: schemas, implementations, fake kernels, autograd.

Each has one implementation, which picks a backend; so they work under torch.compile, inside CUDA graphs and with fake
tensors.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from . import backends
from .activation import Activation
from .arguments import ChannelValues
from .backends.call import HamiltonianCall, InnerAscentCall, Layer
from .checks import check_hamiltonian, check_inner_ascent

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


def run_inner_ascent(call: InnerAscentCall, backend: str | None) -> Tensor:
    """The new perturbation, by the backend asked for or the first that can run the call."""
    return torch.ops.yopo_ext.inner_ascent.default(
        call.x, call.eta, call.p, *_flat(call.layer), *call.budget, call.steps, call.norm, call.direction,
        call.precision, backend,
    )  # fmt: skip


def run_hamiltonian(call: HamiltonianCall, backend: str | None) -> Tensor:
    """H, 0-d."""
    return torch.ops.yopo_ext.hamiltonian.default(call.u, call.p, *_flat(call.layer), call.precision, backend)


def run_hamiltonian_gradients(
    call: HamiltonianCall, backend: str | None, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """∂H/∂(weight, bias, u), empty where not wanted."""
    return torch.ops.yopo_ext.hamiltonian_gradients.default(
        call.u, call.p, *_flat(call.layer), call.precision, backend, wanted
    )


def inner_ascent_by(backend: backends.Backend, call: InnerAscentCall) -> Tensor:
    """`run_inner_ascent` past torch.library: of a call that has been checked, on a backend that can run it."""
    with torch._C._AutoDispatchBelowAutograd(), _without_autocast(call.x):
        return backend.inner_ascent(call)


def hamiltonian_gradients_by(
    backend: backends.Backend, call: HamiltonianCall, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """`run_hamiltonian_gradients` likewise; None where not wanted."""
    with torch._C._AutoDispatchBelowAutograd(), _without_autocast(call.u):
        return backend.hamiltonian_gradients(call, wanted)


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
