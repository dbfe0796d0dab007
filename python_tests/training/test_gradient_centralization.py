# SPDX-License-Identifier: MIT
"""SGD-GC and SGD-GCC against their formula, and the law that a weight vector's mean stays."""

import copy

import pytest
import torch
from torch import nn

from yopo_ext.training import OPTIMIZERS, make_config
from yopo_ext.training.optimizers.gradient_centralization import centralize

LR, MOMENTUM, DECAY = 0.1, 0.9, 0.05


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).double()


def passes(model, steps, step):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(8, 2, 4, 4, generator=generator, dtype=torch.float64)
        model.zero_grad()
        nn.functional.cross_entropy(model(x), torch.arange(8) % 3).backward()
        step()


def built(model, name, which, **options):
    groups = [{"params": model[0].parameters()}, {"params": model[1:].parameters()}]
    options = OPTIMIZERS[name].options(
        momentum=MOMENTUM, weight_decay=options.pop("weight_decay", DECAY), centralize=which, **options
    )
    return OPTIMIZERS[name].build(groups, options, lr=LR, fused=False)


def literal(model, which, nesterov):
    """The update written out: decay, mean out, momentum."""
    moved = {}

    def step():
        for parameter in model.parameters():
            descended = parameter.grad + DECAY * parameter.data
            if (which == "convolutions" and parameter.dim() == 4) or (which == "all" and parameter.dim() >= 2):
                descended = torch.stack([row - row.mean() for row in descended])
            moved[parameter] = MOMENTUM * moved[parameter] + descended if parameter in moved else descended
            update = descended + MOMENTUM * moved[parameter] if nesterov else moved[parameter]
            parameter.data -= LR * update

    return step


@pytest.mark.parametrize("nesterov", [False, True], ids=["sgd", "nesterov"])
@pytest.mark.parametrize("which", ["none", "convolutions", "all"])
def test_steps_are_the_formula_s(which, nesterov):
    ours, expected = network(), network()
    passes(ours, 4, built(ours, "nesterov" if nesterov else "sgd", which).step)
    passes(expected, 4, literal(expected, which, nesterov))
    for found, wanted in zip(ours.state_dict().values(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("which", "kept"), [("convolutions", (True, False)), ("all", (True, True))])
def test_the_mean_of_an_output_s_weights_stays_and_no_other(which, kept):
    model = network()
    start = copy.deepcopy(model)
    passes(model, 5, built(model, "sgd", which).step)
    for index, stays in zip((0, 4), kept, strict=True):
        before, after = (one[index].weight.detach().flatten(1).mean(1) for one in (start, model))
        assert bool((before - after).abs().max() < 1e-12) == stays
        assert not torch.equal(start[index].weight, model[index].weight)


def test_gradients_that_are_not_there_are_left_alone():
    model = network()
    optimizer = built(model, "sgd", "all")
    model[4].weight.requires_grad_(False)
    passes(model, 1, optimizer.step)
    assert model[4].weight.grad is None


def test_what_is_refused():
    with pytest.raises(ValueError, match="which: got 'linear', expected one of none, convolutions, all"):
        centralize(torch.optim.SGD(network().parameters()), "linear")
    with pytest.raises(ValueError, match="centralize: got 'conv', expected one of none, convolutions, all"):
        make_config(centralize="conv")
    with pytest.raises(ValueError, match="centralize"):
        make_config(optimizer="adam", centralize="all")
    assert make_config(optimizer="nesterov", centralize="all").optimizer.options.centralize == "all"
