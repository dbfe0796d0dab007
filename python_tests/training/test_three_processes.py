# SPDX-License-Identifier: MIT
"""Three processes on CPUs: gradients, shares of a measurement, batches of their own, runs of another number."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import batch_norm_net
import pytest
import three_processes as script
import torch
from several_processes import CONFIG, run_together
from stop_after import StopAfter
from torch import nn
from torch.utils.data import DataLoader

import yopo_ext
from yopo_ext.adversaries import Free
from yopo_ext.data import Batch
from yopo_ext.training import (
    CheckpointError,
    Interrupted,
    Processes,
    Run,
    change_config,
    load_checkpoint,
)
from yopo_ext.training.loop.other_count import require_shareable, same
from yopo_ext.training.loop.own_batches import as_many_as_said

RESUMED = {
    "yopo": CONFIG,
    # A process remembers η by its rows, which are others then: all mini-batches are of one size.
    "free": change_config(CONFIG, method="free-2", batch_size=19, alpha=0.02),
    "momentum": change_config(CONFIG, method="fast", start="momentum", augment=True, drop_last=True),
    "shared": change_config(CONFIG, method="fast", start="shared", drop_last=True),
    "average": change_config(CONFIG, method="pgd-10", ewa_decay=0.5, drop_last=True),
}
# Each process normalises with its own images, so that it is another run from there on.
BATCH_NORM = {
    "batch norm": change_config(CONFIG, model=batch_norm_net.NAME),
    "batch norm, evaluating": change_config(CONFIG, model=batch_norm_net.NAME, method="pgd-2", bn_mode="eval"),
}


def write(config, folder):
    folder.mkdir()
    config.write(folder / "config.json")


def begun(config, folder, stop_after):
    """A run of one process that was stopped in its second epoch."""
    write(config, folder)
    run = Run(config, folder, show=False, stop=stop_after)
    with pytest.raises(Interrupted):
        run.fit()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """What three processes found, by rank, and their folder."""
    folder = tmp_path_factory.mktemp("three")
    for name, config in {**RESUMED, **BATCH_NORM}.items():
        begun(config, folder / f"resumed by three {name}", StopAfter(5))
    write(CONFIG, folder / "one")
    Run(CONFIG, folder / "one", show=False).fit()
    run_together(Path(script.__file__), folder, 3)
    found = [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(3)]
    return SimpleNamespace(folder=folder, found=found)


def everywhere(three, *names):
    """What was found under these names, by rank."""
    values = three.found
    for name in names:
        values = [one[name] for one in values]
    return values


def test_gradients_are_averaged_in_their_own_memory_and_dtype(three):
    for rank, found in enumerate(everywhere(three, "gradients")):
        parts = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "short")
        # 1, 2, 3; what nobody has stays None; what is frozen is left alone; what one lacks counts as 0.
        expected = dict.fromkeys(parts, 2.0) | {"frozen": 7.0 + rank, "unused": None, "rare": 6.0, "mean": 1.0}
        expected["dtype"] = "torch.bfloat16"
        assert found["alike"] == found["in parts"] == found["none"] == expected
        # Weighed 1, 0, 3.
        by_images = dict.fromkeys(parts, 2.5) | {"rare": 9.0, "mean": 1.5}
        assert found["by images"] == expected | by_images
        assert found["without statistics"] == expected | {"mean": float(rank)}
        assert found["negative"] == "ValueError: images: got -1, expected at least 0"


def test_alone_nothing_is_averaged(monkeypatch):
    model = script.filled(0)
    yopo_ext.average_gradients(model, images=3)
    assert model.conv.bias.grad.tolist() == [1.0] * 4
    with pytest.raises(TypeError, match="parameters: got a Parameter, expected a module or parameters"):
        yopo_ext.average_gradients(model.conv.bias)
    with pytest.raises(TypeError, match="parameters: got a str at 0, expected parameters"):
        yopo_ext.average_gradients(["conv.bias"])
    rows = nn.Embedding(4, 2, sparse=True)
    rows(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"the gradient at 0 is torch\.sparse_coo, expected a dense one"):
        yopo_ext.average_gradients(rows)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were started, expected a call of"):
        yopo_ext.average_gradients(model)


def test_torch_has_joint_batch_norm_on_gpus_only(three):
    """So that CPUs need ours; a network that was trained with torch's can be measured there."""
    for training, evaluation in everywhere(three, "joint batch norm"):
        assert training.startswith("ValueError: SyncBatchNorm expected input tensor to be on")
        assert evaluation is None


def test_under_ddp_the_gradients_are_those_of_the_joint_mini_batch(three):
    """Of 3, 1 and 4 images; ∂H of the first layer included, whichever gradient it gets."""
    for found in everywhere(three, "ddp"):
        assert found.pop("yopo, bf16") < 0.2  # one rounding of p, and signs that it turns
        outside = found.pop("outside")
        assert set(found) == set(script.NAMES)
        assert max(found.values()) < 1e-4, found
        refused = outside.pop("yopo")
        assert refused.startswith("RuntimeError: the model is a DistributedDataParallel that averages")
        assert outside.pop("yopo, untouched")
        assert outside == {
            "pgd": None, "pgd, alike": True, "trades": None, "trades, alike": True, "free": None, "free, alike": True,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [("figures", {}), ("fewer images than processes", {"count": 2}), ("one batch", {"batch_size": 50})],
)
def test_a_shared_measurement_has_the_figures_of_one_process(three, name, options):
    """Exactly, also of an attack whose outcome depends on the batch."""
    alone = script.figures(**options)
    assert everywhere(three, "measuring", name) == [alone] * 3
    if not options:
        assert 0 < alone["report"]["robust"]["of its batch"] < alone["report"]["clean"]


def test_a_failure_of_one_is_everybodys(three):
    told = "ProcessError: process 1 of 3: out of memory"
    assert everywhere(three, "measuring", "failing") == [told, "RuntimeError: out of memory", told]


@pytest.mark.parametrize(("name", "who"), [("shuffled", 1), ("parts", 1), ("fewer", 2)])
def test_images_that_are_not_the_same_everywhere_are_refused(three, name, who):
    for error in everywhere(three, "measuring", name):
        assert error.startswith(f"ValueError: images: process {who} of 3 was given others than process 0")


def test_the_command_prints_one_report_and_draws_once(three, capsys):
    first, second, third = everywhere(three, "measuring", "command")
    assert (second, third) == ("", "")
    command = ["evaluate", str(three.folder / "one"), "--steps", "2", "--batch-size", "16", "--json"]
    assert script.command([*command, "--sweep-eps", "0", "0.1"]) == 0
    assert first == capsys.readouterr().out
    assert everywhere(three, "measuring", "pictures") == [["eps.png", "examples.png"], [], []]


def test_batches_of_their_own_are_one_joint_mini_batch(three):
    """Of different sizes on the processes; both epochs in their own order."""
    trainer = script.natural_trainer(script.OneLoader())
    trainer.fit()
    for found in everywhere(three, "own batches"):
        torch.testing.assert_close(torch.tensor(found["weights"]), trainer.model[-1].weight.detach().flatten()[:20])
        assert found["log"] == pytest.approx([line["loss"] for line in trainer.log], rel=1e-5)


def test_a_layer_that_is_unfrozen_later_is_one_on_all_processes(three):
    trainer = script.natural_trainer(script.OneLoader(), events=[script.Unfreezing()])
    trainer.fit()
    expected = trainer.model[0].weight.detach().flatten()
    assert not torch.equal(expected, script.network()[0].weight.flatten())
    for found in everywhere(three, "own batches", "unfrozen"):
        torch.testing.assert_close(torch.tensor(found), expected)


def by_hand(ranks):
    """What processes that load for themselves end with: one after another, averaged at each weight step."""
    trainers = [script.batch_norm_trainer([()], rank) for rank in ranks]
    models = [trainer.model.train() for trainer in trainers]
    loaders = [DataLoader(script.part_of(rank), batch_sampler=script.Sized(script.LARGER[rank])) for rank in ranks]
    for epoch in range(2):
        for loader in loaders:
            loader.batch_sampler.set_epoch(epoch)
        for batches in zip(*loaders, strict=True):
            for trainer, (x, y) in zip(trainers, batches, strict=True):
                trainer.optimizer.zero_grad()
                trainer.adversary.accumulate(x / 255.0, y)
            shares = torch.tensor([float(len(y)) for _, y in batches])
            average([[p.grad for p in model.parameters()] for model in models], shares / shares.sum())
            averaged = [[b for b in model.buffers() if b.is_floating_point()] for model in models]
            average(averaged, shares / shares.sum())
            for trainer in trainers:
                trainer.optimizer.step()
    return models[0].state_dict()


def average(parts, shares):
    for tensors in zip(*parts, strict=True):
        mean = sum(share * one for share, one in zip(shares, tensors, strict=True))
        for one in tensors:
            one.copy_(mean)


def test_batch_norm_in_batches_of_their_own(three):
    """Each normalises with its own images and starts from its own noise; statistics are averaged by images."""
    first, *others = everywhere(three, "own batch norm")
    expected = by_hand(range(3))
    assert list(first) == list(expected)
    for name, value in expected.items():
        assert all(other[name] == first[name] for other in others), name
        torch.testing.assert_close(torch.tensor(first[name]), value, rtol=1e-3, atol=1e-4, msg=name)
    assert expected["bn1.num_batches_tracked"] == 2 * 2 * 2  # passes, epochs, steps


def test_a_run_with_batches_of_their_own_goes_on_in_one_process(three, tmp_path):
    """From an epoch's end, where the loaders hold no place; the network is the three's."""
    shutil.copytree(three.folder / "own batch norm", tmp_path / "run")
    loader = DataLoader(script.part_of(0), batch_sampler=script.Sized(script.LARGER[0]))
    trainer = script.batch_norm_trainer(loader, 0, tmp_path / "run")
    trainer.epochs = 3
    trainer.resume()
    for name, value in everywhere(three, "own batch norm")[0].items():
        assert torch.equal(trainer.model.state_dict()[name], torch.tensor(value)), name
    trainer.fit()
    assert trainer.log[-1]["resumed"].startswith("resumed on 1 process after 3: each has its own batch-norm statistics")
    assert trainer.model.bn1.num_batches_tracked == 2 * 3 * 2


def test_a_distributed_sampler_hears_of_the_epoch(three):
    """Two epochs of four mini-batches of six: each epoch goes through all 72 images, in another order."""
    x, _ = script.parts_of_all()
    images = sorted(x.flatten(1).sum(1).tolist())
    for epoch in (slice(4), slice(4, 8)):
        seen = [image for one in everywhere(three, "own batches", "seen") for batch in one[epoch] for image in batch]
        assert sorted(seen) == images
    first, second = (everywhere(three, "own batches", "seen")[0][epoch] for epoch in (slice(4), slice(4, 8)))
    assert first != second


def test_batches_that_would_leave_a_process_waiting_are_refused(three):
    for found in everywhere(three, "own batches"):
        assert found["unequal"].startswith("ValueError: batches: got 12, 8, 6 mini-batches on the 3 processes")
        assert found["same"].startswith("ValueError: batches: got the same first mini-batch on all 3 processes")
        assert found["no length"].startswith("TypeError: batches: got a DataLoader without a length")
        assert found["ddp"].startswith("ValueError: model: got a DistributedDataParallel on 3 processes")


@pytest.mark.parametrize(("count", "found"), [(3, "3 of the 4"), (5, "more than the 4")])
def test_another_number_of_batches_than_was_said_ends_the_process(count, found):
    batches = [Batch(torch.zeros(1, 1, 2, 2), torch.zeros(1))] * count
    with pytest.raises(ValueError, match=f"batches: process 1 of 3 got {found} mini-batches that its length says"):
        list(as_many_as_said(batches, 4, Processes(1, 3), grouped=False))
    assert len(list(as_many_as_said(batches, 4, Processes(), grouped=False))) == count
    with pytest.raises(ValueError, match=f"batches: got {found} mini-batches that its length says.* by accumulate"):
        list(as_many_as_said(batches, 4, Processes(), grouped=True))


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_of_one_process_goes_on_in_three(three, tmp_path, name):
    """From the middle of an epoch; Free's memory too."""
    alone = Run(RESUMED[name], tmp_path, show=False)
    alone.fit()
    shared = load_checkpoint(three.folder / f"resumed by three {name}")
    for parameter, value in alone.trainer.model.state_dict().items():
        torch.testing.assert_close(shared["model"][parameter], value, rtol=1e-3, atol=1e-4, msg=parameter)
    for one, other in zip(shared["progress"]["log"], alone.trainer.log, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["attacked_accuracy"] == pytest.approx(other["attacked_accuracy"])
    assert len(shared["processes"]) == 3
    for log in everywhere(three, "going on", f"resumed by three {name}"):
        assert log[0] is None
        assert log[1].startswith("resumed on 3 processes after 1: each has its own batch-norm statistics")


@pytest.mark.parametrize("name", BATCH_NORM)
def test_batch_norm_goes_on_in_three(three, tmp_path, name):
    """One network on all of them, with running statistics of all images, near what one process comes to."""
    alone = Run(BATCH_NORM[name], tmp_path, show=False)
    alone.fit()
    shared = load_checkpoint(three.folder / f"resumed by three {name}")
    expected = alone.trainer.model.state_dict()
    assert len(set(everywhere(three, "states", f"resumed by three {name}"))) == 1
    for part in ("bn1", "bn2"):
        assert shared["model"][f"{part}.num_batches_tracked"] == expected[f"{part}.num_batches_tracked"]
        found, mean = shared["model"][f"{part}.running_mean"], expected[f"{part}.running_mean"]
        assert float((found - mean).norm() / mean.norm()) < 0.3
    log = shared["progress"]["log"]
    assert [line["epoch"] for line in log] == [1, 2]
    assert log[0]["loss"] == alone.trainer.log[0]["loss"]
    assert log[1]["loss"] == pytest.approx(alone.trainer.log[1]["loss"], rel=0.2)
    for found in everywhere(three, "going on", f"resumed by three {name}"):
        assert found[1].startswith("resumed on 3 processes after 1: each has its own batch-norm statistics")


def test_what_cannot_be_shared_anew_is_refused(tmp_path):
    trainer = SimpleNamespace(adversary=SimpleNamespace(), processes=Processes())
    states = [{"adversary": {"seen": torch.tensor(rank)}} for rank in range(2)]
    with pytest.raises(CheckpointError, match="of a run on 2 processes, this one is on 1, and each Simple"):
        require_shareable(trainer, states, tmp_path)
    states = [{"adversary": None, "batches": {"position": rank}} for rank in range(2)]
    with pytest.raises(CheckpointError, match="this one is on 1, and each had batches of its own"):
        require_shareable(trainer, states, tmp_path)
    require_shareable(trainer, [{"adversary": {"seen": torch.tensor(1)}}] * 2, tmp_path)
    assert not same({"a": [1, torch.tensor(1)]}, {"a": [1, torch.tensor(1.0)]})


def test_rows_of_frees_memory_go_to_who_has_them():
    eta = torch.arange(7.0)
    memories = [{"eta": eta[:2]}, {"eta": None}, {"eta": eta[2:]}]
    parts = [Free.reshare(memories, Processes(rank, 2).rows)["eta"] for rank in range(2)]
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5, 6]]
    assert Free.reshare([{"eta": None}] * 2, Processes().rows) == {"eta": None}
