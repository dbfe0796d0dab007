# SPDX-License-Identifier: MIT
"""A first layer that was read once is read again as soon as anything about its modules is another."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from yopo_ext import FirstLayer, layer_modules
from yopo_ext.ball import Ball
from yopo_ext.batch_statistics import norms_on_the_batch


class Normalize(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1))
        self.std = 0.3

    def forward(self, x):
        return (x - self.mean) / self.std


def make():
    torch.manual_seed(0)
    inside = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5).eval(), nn.Identity())
    return Normalize(), inside, nn.LeakyReLU(0.1)


def conv(modules):
    return modules[1][0]


def set_data(parameter):
    parameter.data = parameter.data * 2


def half_precision(modules):
    for module in modules:
        module.bfloat16()


CHANGES = {
    "weight in place": lambda m: conv(m).weight.data.mul_(2),
    "weight.data": lambda m: set_data(conv(m).weight),
    "another weight": lambda m: setattr(conv(m), "weight", nn.Parameter(conv(m).weight.detach() * 2)),
    "no bias": lambda m: setattr(conv(m), "bias", None),
    "stride": lambda m: setattr(conv(m), "stride", (2, 2)),
    "padding": lambda m: setattr(conv(m), "padding", "same"),
    "dilation": lambda m: setattr(conv(m), "dilation", (2, 2)),
    "padding mode": lambda m: (setattr(conv(m), "padding", (1, 1)), setattr(conv(m), "padding_mode", "circular")),
    "the convolution": lambda m: m[1].__setitem__(0, nn.Conv2d(3, 4, 3)),
    "one more module": lambda m: m[1].append(nn.Sequential(nn.BatchNorm2d(4).eval())),
    "one module less": lambda m: m[1].__delitem__(1),
    "slope": lambda m: setattr(m[2], "negative_slope", 0.9),
    "mean in place": lambda m: m[0].mean.add_(0.1),
    "another mean": lambda m: setattr(m[0], "mean", torch.zeros(3, 1, 1)),
    "std": lambda m: setattr(m[0], "std", 0.5),
    "dropout trains": lambda m: m[1][1].train(),
    "a hook": lambda m: m[2].register_forward_hook(lambda module, args, output: output.square()),
    "a pre-hook": lambda m: conv(m).register_forward_pre_hook(lambda module, args: (args[0] * 2,)),
    "a forward of its own": lambda m: setattr(m[2], "forward", torch.tanh),
    "a parametrised weight": lambda m: parametrizations.weight_norm(conv(m)),
    "a pruned weight": lambda m: prune.l1_unstructured(conv(m), "weight", 0.5),
    "another class": lambda m: setattr(m[2], "__class__", nn.Softsign),
    "a learnable mean": lambda m: m[0].mean.requires_grad_(),
    "half precision": half_precision,
}


def outcome(layer):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 7, 6, generator=generator)
    output = layer.evaluate(x.to(next(layer.parameters()).dtype))
    p, ball = torch.randn(output.shape, generator=generator), Ball(0.1, 0.05)
    torch.manual_seed(2)
    eta = layer.inner_ascent(x, x * 0, p, eps=0.1, alpha=0.05, steps=2)
    torch.manual_seed(2)
    ascended = layer.ascend(ball, ball.feasible_set(x), x * 0, p, steps=2)
    for parameter in layer.parameters():
        parameter.grad = None
    torch.manual_seed(2)
    layer.accumulate_hamiltonian(x, p, scale=0.5)
    return [eta, ascended, *(parameter.grad for parameter in layer.parameters())]


def equal(one, other):
    return len(one) == len(other) and all(
        a is b is None or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_seen(change):
    modules = make()
    layer = FirstLayer(modules)
    before = outcome(layer)
    assert equal(outcome(layer), before)
    CHANGES[change](modules)
    if change == "half precision":
        for act in (outcome, lambda layer: outcome(FirstLayer(modules))):
            with pytest.raises(RuntimeError):
                act(layer)
        return
    expected = outcome(FirstLayer(modules))
    after = outcome(layer)
    assert equal(after, expected)
    assert equal(outcome(layer), expected)
    if change not in ("one module less", "a learnable mean"):
        assert not equal(after, before)


def test_the_layer_is_read_once(monkeypatch):
    layer = FirstLayer(make())
    expected = outcome(layer)
    monkeypatch.setattr(layer_modules, "read_layer", lambda modules: pytest.fail("read again"))
    assert equal(outcome(layer), expected)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), type("MyNorm", (nn.BatchNorm2d,), {})(4).eval()),
        parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)).eval(),
        type("MyConv", (nn.Conv2d,), {})(3, 4, 3),
        type("MySequential", (nn.Sequential,), {})(nn.Conv2d(3, 4, 3)),
    ],
)
def test_what_could_change_unseen_is_read_at_every_call(module):
    layer = FirstLayer(module)
    outcome(layer)
    assert layer._reading._kept is None


def folded(training):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 2.0)
    return Normalize(), nn.Sequential(nn.Conv2d(3, 4, 3), norm.train(training)), nn.ReLU()


def norm_of(modules):
    return modules[1][1]


def optimizer_step(modules):
    chain = nn.Sequential(*modules)
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.5)
    chain(torch.rand(2, 3, 7, 6)).square().sum().backward()
    optimizer.step()


def load_state(modules):
    other = folded(False)
    state = {name: value * 1.5 if value.is_floating_point() else value
             for name, value in nn.Sequential(*other).state_dict().items()}  # fmt: skip
    nn.Sequential(*modules).load_state_dict(state)


def unseen(name):
    """A write that no version counts."""

    def write(modules):
        tensor = getattr(norm_of(modules), name)
        before = tensor._version
        tensor.data.mul_(1.5)
        assert tensor._version == before

    return write


def a_pass_in_training_mode(modules):
    norm = norm_of(modules)
    was = norm.training
    norm.train()(torch.rand(2, 4, 3, 3))
    norm.train(was)


FOLD_CHANGES = {
    "an optimiser's step": optimizer_step,
    "load_state_dict": load_state,
    "weight.data": lambda m: conv(m).weight.data.mul_(2),
    "weight's memory": lambda m: conv(m).weight.detach().numpy().__imul__(2),
    "bias in place": lambda m: conv(m).bias.detach().add_(1),
    "running statistics move": a_pass_in_training_mode,
    **{f"{name}.data": unseen(name) for name in ("weight", "bias", "running_mean", "running_var")},
    "eps": lambda m: setattr(norm_of(m), "eps", 0.5),
    "another running mean": lambda m: setattr(norm_of(m), "running_mean", torch.ones(4)),
    "no running statistics": lambda m: norm_of(m).__dict__["_buffers"].update(running_mean=None, running_var=None),
    "without a scale": lambda m: setattr(norm_of(m), "weight", None),
    "the norm": lambda m: m[1].__setitem__(1, nn.BatchNorm2d(4).eval()),
    "the mode": lambda m: norm_of(m).train(not norm_of(m).training),
    "a hook": lambda m: norm_of(m).register_forward_hook(lambda module, args, output: output.square()),
    "another class": lambda m: setattr(norm_of(m), "__class__", nn.InstanceNorm2d),
    "a parametrised scale": lambda m: parametrizations.weight_norm(conv(m)),
}  # fmt: skip
#: What the pass says of the batch plays the part of the running statistics then.
ONLY_EVALUATING = {"running statistics move", "running_mean.data", "running_var.data", "another running mean",
                   "no running statistics"}  # fmt: skip


def outcome_of_fold(layer, statistics):
    """Steps and gradients, in either mode."""
    generator = torch.Generator().manual_seed(1)
    x, p = torch.rand(2, 3, 7, 6, generator=generator), torch.randn(2, 4, 5, 4, generator=generator)
    held = dict.fromkeys(norms_on_the_batch(layer.modules), statistics)
    parameters = [*layer.parameters()]
    for parameter in parameters:
        parameter.grad = None
    ball = Ball(0.1, 0.05)
    eta = layer.inner_ascent(x, x * 0, p, statistics=held, eps=0.1, alpha=0.05, steps=2, direction="gradient")
    ascended = layer.ascend(
        ball, ball.feasible_set(x), x * 0, p, steps=2, statistics=held, direction="gradient"
    )  # fmt: skip
    h = layer.hamiltonian(x, p, statistics=held).detach()
    layer.accumulate_hamiltonian(x, p)
    return [eta, ascended, h, *(parameter.grad for parameter in parameters)]


@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
@pytest.mark.parametrize("change", FOLD_CHANGES)
def test_a_fold_is_never_stale(change, training):
    modules = folded(training)
    layer, statistics = FirstLayer(modules), (torch.full((4,), 0.3), torch.full((4,), 0.7))
    before = outcome_of_fold(layer, statistics)
    assert layer._reading._kept.norm is norm_of(modules)
    assert equal(outcome_of_fold(layer, statistics), before)
    FOLD_CHANGES[change](modules)
    expected = outcome_of_fold(FirstLayer(modules), statistics)
    after = outcome_of_fold(layer, statistics)
    assert equal(after, expected)
    assert equal(outcome_of_fold(layer, statistics), expected)
    assert equal(after, before) == (training and change in ONLY_EVALUATING)


def test_each_pass_has_its_own_statistics():
    modules = folded(True)
    layer = FirstLayer(modules)
    outcomes = []
    for value in (0.3, 0.9, 0.3):
        statistics = (torch.full((4,), value), torch.full((4,), 0.7))
        outcomes.append(outcome_of_fold(layer, statistics))
    assert equal(outcomes[0], outcomes[2])
    assert not equal(outcomes[0], outcomes[1])
    x, p = torch.rand(2, 3, 7, 6), torch.randn(2, 4, 5, 4)
    with pytest.raises(ValueError, match="statistics: got None for the first layer's BatchNorm2d"):
        layer.inner_ascent(x, x * 0, p, eps=0.1, alpha=0.05, steps=1)


def test_lists_may_change_unseen():
    layer = FirstLayer(nn.Conv2d(3, 4, 3))
    layer.modules[0].stride = [1, 1]
    before = outcome(layer)
    layer.modules[0].stride[:] = [2, 2]
    assert not equal(outcome(layer), before)


def test_training_mode_and_requires_grad_count():
    modules = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval())
    layer, x = FirstLayer(modules, "batch"), torch.rand(2, 3, 5, 5)
    p = torch.randn(2, 4, 3, 3)
    layer.modules[0].eval()
    layer.accumulate_hamiltonian(x, p)
    modules[1].train()
    assert layer.explain().path == "autograd"
    plain = FirstLayer(modules[0])
    plain.accumulate_hamiltonian(x, p)
    modules[0].weight.requires_grad_(False)
    modules[0].weight.grad = None
    bias = modules[0].bias.grad.clone()
    plain.accumulate_hamiltonian(x, p)
    assert modules[0].weight.grad is None
    assert not torch.equal(modules[0].bias.grad, bias)
    modules[0].bias.requires_grad_(False)
    modules[0].bias.grad = None
    plain.accumulate_hamiltonian(x, p)
    assert modules[0].bias.grad is None


def test_copies_read_their_own_modules():
    layer = FirstLayer(make())
    before = outcome(layer)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        conv(twin.modules).weight.data.mul_(2)
        assert not equal(outcome(twin), before)
        assert equal(outcome(layer), before)
    shallow = copy.copy(layer)
    shallow.modules = (nn.Conv2d(3, 4, 3, stride=2),)
    assert not equal(outcome(shallow), before)
    assert equal(outcome(layer), before)


def test_gradients_reach_hooks_and_what_grad_held():
    """As by a backward pass: also hooks of the node that adds up, as DistributedDataParallel has them."""
    module = nn.Conv2d(3, 4, 3)
    layer, x, p = FirstLayer(module), torch.rand(2, 3, 5, 5), torch.randn(2, 4, 3, 3)
    layer.accumulate_hamiltonian(x, p)
    layer.accumulate_hamiltonian(x, p)
    once = torch.autograd.grad(layer.hamiltonian(x, p), module.weight)[0]
    torch.testing.assert_close(module.weight.grad, 2 * once)
    seen = []
    node = module.weight.view_as(module.weight).grad_fn.next_functions[0][0]
    node.register_hook(lambda *_: seen.append("node"))
    module.weight.register_hook(lambda grad: seen.append("tensor") or grad * 0)
    module.weight.register_post_accumulate_grad_hook(lambda parameter: seen.append("after"))
    layer.accumulate_hamiltonian(x, p)
    assert sorted(seen) == ["after", "node", "tensor"]
    torch.testing.assert_close(module.weight.grad, 2 * once)


def test_a_compiled_caller_reads_it_too():
    layer = FirstLayer((nn.Conv2d(3, 4, 3), nn.ReLU()))
    x, p = torch.rand(2, 3, 5, 5), torch.randn(2, 4, 3, 3)

    def ascend(x, eta, p):
        return layer.inner_ascent(x, eta, p, eps=0.1, alpha=0.05, steps=2)

    expected = ascend(x, x * 0, p)
    assert torch.equal(torch.compile(ascend, fullgraph=True, backend="aot_eager")(x, x * 0, p), expected)
    assert torch.equal(ascend(x, x * 0, p), expected)
