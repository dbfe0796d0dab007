# SPDX-License-Identifier: MIT
"""First layers that reach up to a cut: YOPO in them against the algorithm written out, and which cuts there are."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import yopo_ext
from yopo_ext import YOPO, FirstLayer, capture_costate, find_cut, find_cuts
from yopo_ext.adversaries import TRADESYOPO, random_start
from yopo_ext.ball import Ball
from yopo_ext.models import Ensemble, build_model
from yopo_ext.models.preact_resnet import PreActBlock

EPS, ALPHA, M, N = 0.05, 0.02, 2, 3
GRADS = pytest.mark.parametrize("first_layer_grad", ["hamiltonian", "backprop", "both"])


class Residual(nn.Module):
    """conv, batch norm, Tanh; a stage of one pre-activation block; another norm, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh()
        self.stage = nn.Sequential(PreActBlock(4, 6, 2, "tanh"), PreActBlock(6, 6, 1, "tanh"))
        self.norm, self.linear = nn.BatchNorm2d(6), nn.Linear(6 * 9, 3)

    def forward(self, x):
        return self.linear(self.norm(self.stage(self.act(self.bn(self.conv(x))))).flatten(1))


def network(cls=Residual):
    torch.manual_seed(0)
    model = cls().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias)
    return model


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(6) % 3


def seeded():
    return torch.Generator().manual_seed(2)


class Norms:
    """Batch norm by its formula: with the moments of what it is given, which are noted; or with those noted before."""

    def __init__(self, noted=None):
        self.noted, self.frozen = [] if noted is None else list(noted), noted is not None
        self.calls = 0

    def __call__(self, norm, z):
        if not self.frozen:
            mean = z.mean((0, 2, 3))
            self.noted.append((mean, (z - mean[:, None, None]).square().mean((0, 2, 3))))
        mean, var = self.noted[self.calls]
        self.calls += 1
        scale = norm.weight / (var + norm.eps).sqrt()
        return (z - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def prefix(model, u, norms):
    """The network up to and with stage.0, written out."""
    block = model.stage[0]
    z = norms(model.bn, model.conv(u)).tanh()
    out = norms(block.bn1, z).tanh()
    return block.conv2(norms(block.bn2, block.conv1(out)).tanh()) + block.shortcut[0](out)


def rest(model, z):
    return model.linear(model.norm(model.stage[1](z)).flatten(1))


def literal_yopo(model, x, y, first_layer_grad):
    """YOPO-m-n with the first layer up to stage.0. Returns η of the last pass and after it, and moments."""
    lower, upper = torch.maximum(torch.tensor(-EPS).double(), -x), torch.minimum(torch.tensor(EPS).double(), 1 - x)
    alpha, eta, seen = torch.tensor(ALPHA).double(), random_start(x, eps=EPS, generator=seeded()), []
    mine = [*model.conv.parameters(), *model.bn.parameters(), *model.stage[0].parameters()]
    for _ in range(M):
        norms, before = Norms(), eta
        with torch.no_grad():
            leaf = prefix(model, x + eta, norms)
        leaf.requires_grad_()
        (cross_entropy(rest(model, leaf), y) / M).backward()
        p, noted = leaf.grad, [(mean.detach(), var.detach()) for mean, var in norms.noted]
        seen.append(noted)
        if first_layer_grad != "hamiltonian":
            (prefix(model, x + eta, Norms()) * p).sum().backward(inputs=mine)
        for _ in range(N):
            moving = eta.clone().requires_grad_()
            g = torch.autograd.grad((prefix(model, x + moving, Norms(noted)) * p).sum(), moving)[0]
            eta = (eta + alpha * g.sign()).clamp(lower, upper)
        if first_layer_grad != "backprop":
            (prefix(model, x + eta, Norms()) * p).sum().backward(inputs=mine)
    return before, eta, seen


@GRADS
def test_yopo_in_a_deeper_first_layer_is_the_literal_algorithm(first_layer_grad):
    """Several batch norms frozen in the n steps; ∂H with the statistics of its images; running ones move m times."""
    literal, model = network(), network()
    x, y = batch()
    before, after, seen = literal_yopo(literal, x, y, first_layer_grad)
    cut = find_cut(model, "stage.0", x)
    yopo = YOPO(model, cut.modules, M, N, EPS, ALPHA, first_layer_grad=first_layer_grad, generator=seeded())
    yopo.accumulate(x, y)
    assert cut.names == ("conv", "bn", "act", "stage.0")
    torch.testing.assert_close(yopo.eta, before if first_layer_grad == "backprop" else after, rtol=0, atol=1e-12)
    for (name, ours), theirs in zip(model.named_parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")
    for index, norm in enumerate((model.bn, model.stage[0].bn1, model.stage[0].bn2)):
        running = torch.zeros_like(norm.running_mean)
        for moments in seen:
            running = 0.9 * running + 0.1 * moments[index][0]
        torch.testing.assert_close(norm.running_mean, running)
        assert norm.num_batches_tracked == M
    explanation = yopo.explain(x)
    assert (explanation.path, explanation.bn_statistics) == ("autograd", "frozen")
    assert explanation.reason == "it goes on with PreActBlock, another layer"
    assert explanation.input_gradient_error < 1e-9


@pytest.mark.parametrize("bn_statistics", ["frozen", "batch"])
def test_in_eval_mode_running_statistics_are_read_and_kept(bn_statistics):
    model = network().eval()
    x, y = batch()
    before = copy.deepcopy(dict(model.named_buffers()))
    layer = find_cut(model, "stage.0", x).modules
    yopo = YOPO(model, layer, 1, N, EPS, ALPHA, bn_statistics=bn_statistics, generator=seeded())
    yopo.accumulate(x, y)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    eta = random_start(x, eps=EPS, generator=seeded())
    stats = [(norm.running_mean, norm.running_var) for norm in (model.bn, model.stage[0].bn1, model.stage[0].bn2)]
    leaf = prefix(model, x + eta, Norms(stats)).detach().requires_grad_()
    p = torch.autograd.grad(cross_entropy(rest(model, leaf), y), leaf)[0]
    for _ in range(N):
        moving = eta.clone().requires_grad_()
        g = torch.autograd.grad((prefix(model, x + moving, Norms(stats)) * p).sum(), moving)[0]
        eta = (eta + ALPHA * g.sign()).clamp(torch.maximum(-torch.tensor(EPS).double(), -x), (1 - x).clamp(max=EPS))
    torch.testing.assert_close(yopo.eta, eta, rtol=0, atol=1e-7)


@pytest.mark.parametrize("bn_mode", ["eval", "train"])
def test_trades_yopo_crafts_in_it(bn_mode):
    model = network()
    x, y = batch()
    layer = find_cut(model, "stage.0", x).modules
    adversary = TRADESYOPO(model, layer, Ball(EPS, ALPHA), 2, 2, bn_mode=bn_mode, generator=seeded())
    adversary.accumulate(x, y)
    passes = 2 + (3 if bn_mode == "train" else 0)  # TRADES' own, and those that craft
    assert model.stage[0].bn2.num_batches_tracked == passes
    assert 0.5 * EPS < adversary.eta.abs().max() <= EPS + 1e-8
    assert adversary.first_layer.input_gradient_error < 1e-9


def costate_of(model, layer, u):
    with capture_costate(layer) as costate:
        model(u).square().sum().backward()
    return costate


class Watched(nn.Tanh):
    """Notes in which precision it is called."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, z):
        self.seen.append(z.dtype)
        return z.tanh()


@pytest.mark.parametrize("name", ["act", "stage.0"])
def test_under_autocast_a_part_of_the_network_is_computed_as_the_network_is(name):
    """One layer stays in float32, as in the kernels."""
    model = network().float()
    model.act = Watched()
    x = batch()[0].float().contiguous(memory_format=torch.channels_last)
    layer = FirstLayer(find_cut(model, name, x).modules)
    exact = [torch.autograd.grad(layer.hamiltonian(x, p := torch.randn_like(layer.evaluate(x))), model.conv.weight)[0]]
    with torch.autocast("cpu", torch.bfloat16):
        costate = costate_of(model, layer, x)
        model.act.seen.clear()
        eta = layer.inner_ascent(
            x, torch.zeros_like(x), costate.value, statistics=costate.statistics, eps=EPS, alpha=ALPHA, steps=2
        )
        model.zero_grad()
        layer.accumulate_hamiltonian(x, p)
    assert model.act.seen == 3 * [torch.float32 if name == "act" else torch.bfloat16]
    assert eta.dtype == torch.float32
    assert eta.is_contiguous(memory_format=torch.channels_last)
    assert eta.abs().max() > 0.9 * 2 * ALPHA
    torch.testing.assert_close(model.conv.weight.grad, exact[0], rtol=0.1, atol=0.1)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_step_that_raises_leaves_the_parameters_learnable():
    model = network()
    layer = FirstLayer(find_cut(model, "stage.0", batch()[0]).modules)
    layer.modules[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="p: got shape"):
        layer.inner_ascent(
            batch()[0], 0 * batch()[0], torch.zeros(1, dtype=torch.float64), eps=EPS, alpha=ALPHA, steps=1,
            statistics=costate_of(model, layer, batch()[0]).statistics,
        )  # fmt: skip
    assert [parameter.requires_grad for parameter in layer.parameters()] == [False, *[True] * 10]


def test_compiled_steps_are_those_of_the_modules(monkeypatch):
    """Compiled once for all passes, whatever statistics are held; the passes stay as they are."""
    graphs, compile = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward  # traced and differentiated as ever, and run without generated code

    monkeypatch.setattr(torch, "compile", lambda function, **options: compile(function, backend=backend, **options))
    torch._dynamo.reset()
    x, y = batch()
    runs = []
    for compiled in (False, True):
        model = network()
        yopo = YOPO(model, find_cut(model, "stage.0", x).modules, 2, N, EPS, ALPHA, generator=seeded())
        if compiled:
            yopo.first_layer.compile_steps()
        for _ in range(2):
            yopo.accumulate(x, y)
        assert len(graphs) == compiled
        assert str(yopo.explain(x)).startswith(f"runs through autograd, {'compiled' if compiled else 'slower'}: ")
        runs.append([yopo.eta, *(one.grad for one in model.parameters()), *model.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
    exact = FirstLayer(yopo.first_layer, "batch")  # whose steps move running statistics, if they are not dropped
    exact.inner_ascent(x, 0 * x, torch.ones(6, 6, 3, 3, dtype=torch.float64), eps=EPS, alpha=ALPHA, steps=1)
    assert not exact.explain().compiled
    assert (len(graphs), copy.deepcopy(yopo).explain().compiled) == (1, True)
    torch._dynamo.reset()


OURS = {
    "preactresnet18": (3, 8, ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0"]),
    "preactresnet18-relu": (3, 8, ["relu0", "layer1.0"]),
    "resnet18": (3, 8, ["conv1", "relu1", "layer1.0"]),
    "wrn-10-1": (3, 8, ["conv1", "block1.layer.0", "block2.layer.0", "block3.layer.0"]),
    "smallcnn": (1, 28, ["feature_extractor.relu1", "feature_extractor.maxpool1", "feature_extractor.relu3"]),
    "digits-cnn": (1, 8, ["features.relu1"]),
}


@pytest.mark.parametrize("name", OURS)
def test_our_networks_name_their_cuts(name):
    channels, side, expected = OURS[name]
    torch.manual_seed(0)
    options = {} if channels == 1 else {"mean": [0.5] * 3, "std": [0.25] * 3}
    model = build_model(name, in_channels=channels, num_classes=10, **options)
    x = torch.rand(2, channels, side, side)
    assert [*model.cuts][: len(expected)] == expected
    assert model.first_layer == model.cuts[expected[0]]
    found = {cut.names[-1]: cut for cut in find_cuts(model, x)}
    for cut in [*model.cuts][:3]:
        assert found[cut].modules == model.cuts[cut] == find_cut(model, cut, x).modules
        assert found[cut].error < 1e-5


class Shared(nn.Module):
    """A residual block as torchvision has it, one ReLU for both uses."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + x)


class Foreign(nn.Module):
    """torchvision's order: stem, batch norm, ReLU, pooling, stages; dropout before the last stage."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1, self.drop, self.layer2 = nn.Sequential(Shared(), Shared()), nn.Dropout(0.5), Shared()
        self.fc = nn.Linear(36, 3)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.layer2(self.drop(self.layer1(x))).flatten(1))


def test_a_foreign_network_is_cut_by_name():
    model = network(Foreign)
    x, y = batch()
    cut = find_cut(model, "layer1.0", x)
    assert cut.names == ("conv1", "bn1", "relu", "maxpool", "layer1.0")
    assert (cut.linear, cut.kernel) == (False, False)
    assert find_cut(nn.parallel.DataParallel(model), "module.layer1", x).names[-1] == "module.layer1"
    YOPO(model, cut.modules, 2, 2, EPS, ALPHA).accumulate(x, y)
    assert model.layer1[0].bn2.num_batches_tracked == 2
    names = ["conv1", "bn1", "relu", "maxpool", "layer1.0", "layer1.1"]
    found = find_cuts(model, x)
    assert [cut.names[-1] for cut in found] == names  # what follows the dropout is none
    assert [cut.kernel for cut in found] == [True, True, True, False, False, False]
    assert str(found[-1]).count("ends there: drop (Dropout) follows") == 1
    assert [cut.names[-1] for cut in find_cuts(model.eval(), x)] == [*names, "layer2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer1.0.conv1", r"got layer1.0.conv1, past which the images reach the outputs .*relative error"),
        (
            "layer2",
            r"got layer2, whose modules draw at random \(dropout\?\).*up to each of conv1, bn1, relu, max",
        ),
        ("fc", r"no chain of modules leads to fc: the output of layer2 \(Shared\) goes into no module"),
        ("layer1.0.relu", r"no chain of modules leads to layer1.0.relu: layer1.0.relu \(ReLU\) is called 2 times"),
        ("layer1.2", "got 'layer1.2', expected the name of a module of Foreign, as layer1.1, layer1.0, layer2"),
    ],
)
def test_what_is_no_cut_says_why(name, message):
    with pytest.raises(ValueError, match=f"^cut: {message}"):
        find_cut(network(Foreign), name, batch()[0])


def test_a_network_with_branches_has_no_chain():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)

        def forward(self, x):
            return (self.one(x) + self.other(x)).flatten(1)

    assert find_cuts(network(Branching), batch()[0]) == ()
    with pytest.raises(ValueError, match=r"leads to one: one \(Conv2d\) and other \(Conv2d\) are called on the images"):
        find_cut(network(Branching), "one", batch()[0])
    with pytest.raises(ValueError, match="chain: got an ensemble"):
        Ensemble([build_model("digits-cnn", in_channels=1, num_classes=2)]).cuts  # noqa: B018
    assert yopo_ext.find_cut is find_cut
