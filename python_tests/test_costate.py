# SPDX-License-Identifier: MIT
"""The co-state against autograd's own gradient, with the graph whole and cut."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from yopo_ext import FirstLayer, capture_costate
from yopo_ext.costate import cut_at_first_layer

CATCH = pytest.mark.parametrize("catch", [capture_costate, cut_at_first_layer], ids=["whole", "cut"])


class Net(nn.Module):
    def __init__(self, inplace=True):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x))).flatten(1))


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(5, 3, 6, 6, generator=generator), torch.arange(5) % 3


def loss_of(model):
    x, y = batch()
    return nn.functional.cross_entropy(model(x), y)


def layers(model, depth):
    return (model.conv, model.norm, model.act)[:depth]


def expected_costate(depth):
    """By autograd.grad, on a twin without in-place modules."""
    model = Net(inplace=False)
    x, y = batch()
    f0 = x
    for module in layers(model, depth):
        f0 = module(f0)
    rest = f0
    for module in (model.conv, model.norm, model.act)[depth:]:
        rest = module(rest)
    return torch.autograd.grad(nn.functional.cross_entropy(model.head(rest.flatten(1)), y), f0)[0]


@CATCH
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_costate_is_autograds(catch, depth):
    # Depth 2 is followed by the in-place activation, depth 3 ends in it.
    model = Net()
    with catch(layers(model, depth)) as costate:
        loss_of(model).backward()
    torch.testing.assert_close(costate.value, expected_costate(depth))
    assert not costate.value.requires_grad


def test_a_whole_graph_gives_the_ordinary_gradients():
    plain, model = Net(), Net()
    loss_of(plain).backward()
    with capture_costate(model.conv):
        loss_of(model).backward()
    for got, want in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(got.grad, want.grad)


def test_a_cut_graph_keeps_the_first_layer_out_and_the_rest_as_it_was():
    plain, model = Net(), Net()
    loss_of(plain).backward()
    with cut_at_first_layer((model.conv, model.norm)):
        loss = loss_of(model)
        loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad
        if name.startswith("head"):
            assert torch.equal(parameter.grad, plain.get_parameter(name).grad)
        else:
            assert parameter.grad is None
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, plain.get_buffer(name)), name
    assert model.norm.num_batches_tracked == 1
    # And no more: afterwards the graph is whole again.
    loss_of(model).backward()
    assert model.conv.weight.grad is not None


def test_a_cut_first_layer_saves_no_tensors():
    model = Net()
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with cut_at_first_layer(layers(model, 3)):
            loss_of(model).backward()
        cut = len(saved)
        assert all(tensor.dim() < 4 for tensor in saved)
        loss_of(model)
    assert len(saved) - cut > cut


@CATCH
def test_a_frozen_first_layer_has_a_costate(catch):
    model = Net()
    for module in layers(model, 2):
        module.requires_grad_(False)
    with catch(layers(model, 2)) as costate:
        loss_of(model).backward()
    torch.testing.assert_close(costate.value, expected_costate(2))


@CATCH
def test_hooks_are_gone_afterwards_also_after_an_error(catch):
    model = Net()

    def interrupted():
        with catch(FirstLayer(layers(model, 2))):
            loss_of(model)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    with pytest.raises(RuntimeError, match="channels"), catch(model.conv):
        model.conv(torch.zeros(1, 5, 6, 6))
    assert torch.is_grad_enabled()
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@CATCH
def test_half_precision_under_autocast(catch):
    model = Net()
    with torch.autocast("cpu", dtype=torch.bfloat16), catch(model.conv) as costate:
        loss_of(model).backward()
    assert costate.value.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        twin = expected_costate(1)
    assert torch.equal(costate.value, twin)


@CATCH
def test_inside_the_block_the_layer_still_takes_the_operators(catch):
    model = Net()
    with catch(model.conv):
        loss_of(model).backward()
        assert FirstLayer(model.conv).explain().path == "operator"


def test_several_backward_passes_add_up():
    model = Net()
    with capture_costate(model.conv) as costate:
        loss = loss_of(model)
        (0.25 * loss).backward(retain_graph=True)
        (0.75 * loss).backward()
    torch.testing.assert_close(costate.value, expected_costate(1))


@CATCH
def test_a_layer_that_is_never_called(catch):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(RuntimeError, match=r"never called.*tuple"), catch(model[:1]):
        loss_of(model).backward()


@CATCH
def test_a_layer_that_is_called_again(catch):
    model = Net()
    with pytest.raises(RuntimeError, match="called again"), catch(model.conv):
        (loss_of(model) + loss_of(model)).backward()


@CATCH
def test_a_module_that_a_deeper_layer_shares(catch):
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(RuntimeError, match=r"ReLU.*called again.*nowhere else"), catch((model[0], relu)):
        loss_of(model).backward()


def test_a_checkpointed_layer():
    model = Net()
    x, _ = batch()
    x.requires_grad_()
    both = nn.Sequential(model.conv, nn.Tanh())
    for reentrant, message in ((False, "called again"), (True, "gradients disabled")):
        with pytest.raises(RuntimeError, match=message), capture_costate(model.conv):
            checkpoint(both, x, use_reentrant=reentrant).sum().backward()


@CATCH
def test_no_gradient(catch):
    model = Net()
    with pytest.raises(RuntimeError, match=r"no gradient reached.*Conv2d"), catch(model.conv):
        loss_of(model)
    with pytest.raises(RuntimeError, match="gradients disabled"), catch(model.conv), torch.no_grad():
        loss_of(model)
    with catch(model.conv) as costate:
        loss = loss_of(model)
        with pytest.raises(RuntimeError, match="no gradient reached"):
            costate.value  # noqa: B018
        loss.backward()


def test_a_cut_refuses_to_lose_the_input_gradient():
    model = Net()
    x, _ = batch()
    cut = cut_at_first_layer(model.conv)
    with pytest.raises(RuntimeError, match=r"input of the first layer.*requires grad"), cut:
        model(x.requires_grad_())
    assert torch.is_grad_enabled()


def test_a_compiled_region():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    whole = torch.compile(model, backend="eager", fullgraph=True)
    # Before torch 2.7 the compiler says no more than that there was an exception.
    with pytest.raises(RuntimeError, match=r"compile|Observed exception"), capture_costate(model[0]):
        loss_of(whole).backward()
    loss_of(whole)  # compiled now, without the hook
    with pytest.raises(RuntimeError, match="compiled region"), capture_costate(model[0]):
        loss_of(whole).backward()

    split = nn.Sequential(torch.compile(model[0], backend="eager"), torch.compile(model[1:], backend="eager"))
    with capture_costate(split[0]) as costate:
        loss_of(split).backward()
    with capture_costate(model[0]) as plain:
        loss_of(model).backward()
    torch.testing.assert_close(costate.value, plain.value)
    with cut_at_first_layer(split[0]) as costate:
        loss_of(split).backward()
    torch.testing.assert_close(costate.value, plain.value)


def test_an_output_that_is_no_tensor():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(RuntimeError, match="tuple"), capture_costate(pair := Pair()):
        pair(torch.ones(1))
