# SPDX-License-Identifier: MIT

import copy

import pytest
import torch
from passes import batch, relu_net, seeded
from played_graph import Recorder

from yopo_ext import Ball
from yopo_ext.adversaries import PGD, YOPO, Free, FreeYOPO, YOPOAttack
from yopo_ext.stopwatch import Stopwatch
from yopo_ext.training.loop.cuda_graph import WARM_UP, GraphedAdversary
from yopo_ext.training.loop.unit_counts import UnitCounts

DEEPER = "YOPO whose first layer reaches deeper"


def adversary_of(kind, model):
    if kind is Free:
        return Free(model, Ball(0.06, 0.06), 2)
    if kind is FreeYOPO:
        return FreeYOPO(model, (model[0], model[1]), 2, 2, 0.06, 0.02, start="random", generator=seeded())
    if kind is YOPOAttack:
        return YOPOAttack(model, (model[0], model[1]), Ball(0.06, 0.02), 2, 2, generator=seeded())
    depth = 4 if kind == DEEPER else 2
    return YOPO(model, tuple(model[:depth]), 2, 2, 0.06, 0.02, generator=seeded())


@pytest.mark.parametrize("kind", [YOPO, DEEPER, Free, YOPOAttack, FreeYOPO])
def test_replays_train_as_eager_steps_do(kind):
    eager = adversary_of(kind, relu_net())
    inner = adversary_of(kind, relu_net())
    recorder = Recorder(inner.model)
    graphed = GraphedAdversary(inner, torch.Generator(), recorder)
    graphed.stopwatch = Stopwatch()
    assert graphed.replays == eager.replays
    sizes = [6] * (WARM_UP * inner.replays + 2) + [4, 6]
    optimizers = [torch.optim.SGD(one.model.parameters(), lr=0.1, momentum=0.9) for one in (eager, inner)]
    for seed, size in enumerate(sizes):
        x, y = batch(size, seed)
        both = []
        for one, optimizer in zip((eager, graphed), optimizers, strict=True):
            optimizer.zero_grad(set_to_none=False)
            both.append(one.accumulate(x, y))
            optimizer.step()
        expected, found = both
        torch.testing.assert_close(found["loss"].double(), expected["loss"].double(), rtol=1e-6, atol=0)
        assert found["count"] == size
    for ours, theirs in zip(inner.model.parameters(), eager.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (recorder.recorded, recorder.replayed) == (1, 3)  # the smaller mini-batch ran eagerly
    assert graphed.stopwatch.totals()["passes"] > 0


def test_what_changes_is_recorded_again():
    inner, recorder = PGD(relu_net(), Ball(0.06, 0.02), 2, generator=seeded()), Recorder()
    graphed = GraphedAdversary(inner, torch.Generator(), recorder)
    counts = []
    for step in range(2 * (WARM_UP + 2)):
        if step == WARM_UP + 2:
            inner.steps = 1  # as a warm-up does
        graphed.accumulate(*batch(6, step))
        counts.append((recorder.recorded, recorder.replayed))
    eager = [(0, 0)] * WARM_UP
    assert counts == [*eager, (1, 1), (1, 2), *[(1, 2)] * WARM_UP, (2, 3), (2, 4)]


def test_the_largest_mini_batch_is_recorded():
    """A run that is resumed may begin with its epoch's last one."""
    recorder = Recorder()
    graphed = GraphedAdversary(adversary_of(YOPO, relu_net()), torch.Generator(), recorder)
    for step, size in enumerate([4] + [6] * (WARM_UP + 2)):
        graphed.accumulate(*batch(size, step))
    assert (recorder.recorded, recorder.replayed) == (1, 2)


def test_no_mini_batch_is_eager_in_part():
    """Its passes are counted as it runs, and a replay shows none."""
    inner, recorder = adversary_of(Free, relu_net()), Recorder()
    graphed = GraphedAdversary(inner, torch.Generator(), recorder)
    recorded = []
    for step in range(WARM_UP + 1):
        for _ in range(graphed.replays):
            graphed.accumulate(*batch(4, step))
            recorded.append(recorder.recorded)
    assert recorded == [0] * (WARM_UP * graphed.replays) + [1] * graphed.replays


@pytest.mark.parametrize("kind", [YOPO, Free, FreeYOPO])
@pytest.mark.parametrize("an_epoch", [1, 2, 3, 5])
def test_units_are_those_of_eager_steps_wherever_the_recording_falls(kind, an_epoch):
    """A recording shows its passes and a replay none: with few mini-batches an epoch both fall into a counted one."""

    def record(function, generator):
        metrics = function()
        return (lambda: None), metrics

    eager, inner = (adversary_of(kind, relu_net()) for _ in range(2))
    graphed = GraphedAdversary(inner, torch.Generator(), record)
    assert counted_epochs(graphed, an_epoch) == counted_epochs(eager, an_epoch)


def counted_epochs(adversary, mini_batches, epochs=6):
    """What each epoch's record says, as `MiniBatch` has it counted."""
    units, log = UnitCounts(getattr(adversary, "adversary", adversary).model), []
    for epoch in range(epochs):
        units.begin_epoch()
        for step in range(mini_batches):
            counter = units.counter(adversary, lambda: None)
            for _ in range(adversary.replays):
                with counter:
                    adversary.accumulate(*batch(4, epoch + step))
            units.add(adversary, counter, 4, 4)
        log.append(units.record(log))
    return log


@pytest.mark.parametrize("kind", [Free, FreeYOPO])
def test_a_memory_that_lies_elsewhere_is_recorded_again(kind):
    """It outgrew its room, or was restored, as where a run goes back."""
    inner, recorder = adversary_of(kind, relu_net()), Recorder()
    graphed = GraphedAdversary(inner, torch.Generator(), recorder)
    counts, warm_up = [], WARM_UP * inner.replays
    for step, size in enumerate([*[4] * (warm_up + 1), 6, *[4] * (warm_up + 1), *[4] * (warm_up + 1)]):
        if step == 2 * warm_up + 3:
            graphed.load_state_dict(copy.deepcopy({"eta": inner.remembered}))
        graphed.accumulate(*batch(size, step))
        counts.append(recorder.recorded)
    eager = [0] * warm_up
    assert counts == [*eager, 1, 1, *(1 for _ in eager), 2, *(2 for _ in eager), 3]


def test_without_a_gpu_it_is_refused(runs):
    with pytest.raises(ValueError, match="cuda_graph: got 1 processes on cpu, expected one process on a CUDA device"):
        runs.trainer(cuda_graph=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(
    "method",
    ["yopo", "pgd-2", "fast", "n-fgsm", "free", "trades-2", "trades-yopo", "yopo-attack", "free-yopo", "natural"],
)
def test_on_a_gpu(runs, method, compile, amp):
    trainers = [
        runs.trainer("eager", method=method, device="cuda", amp="off", epochs=3),
        runs.trainer("graphed", method=method, cuda_graph=True, compile=compile, device="cuda", amp=amp, epochs=3),
    ]
    for trainer in trainers:
        trainer.fit()
    for name, tolerance in (("loss", 1e-2 if amp == "off" else 5e-2), ("units", 1e-2)):
        eager, graphed = ([line[name] for line in trainer.log] for trainer in trainers)
        assert graphed == pytest.approx(eager, rel=tolerance), name
