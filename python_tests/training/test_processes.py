# SPDX-License-Identifier: MIT

import copy
import json
import shutil
from pathlib import Path

import any_size_net
import batch_norm_net
import pytest
import torch
from falling_cosine import let_fall
from image_files import write_image_folder
from several_processes import CONFIG, run_together

from yopo_ext.data import Batch
from yopo_ext.joint_batch_norm import JointBatchNorm
from yopo_ext.joint_generator import JointGenerator
from yopo_ext.processes import checksum
from yopo_ext.training import (
    Processes,
    Run,
    StopRequest,
    change_config,
    load_checkpoint,
    started_processes,
)
from yopo_ext.training.loop import with_joint_statistics
from yopo_ext.training.loop.epoch_sums import EpochSums
from yopo_ext.training.loop.exchange import Exchange, StopFlags
from yopo_ext.training.loop.other_count import joint_sums, same
from yopo_ext.training.runs.measuring import curve_accuracies
from yopo_ext.training.runs.trained import measured_weights

SCRIPT = Path(__file__).parent / "two_processes.py"
CPU = torch.device("cpu")

EQUAL = {
    "yopo": CONFIG,
    # A process remembers η by its own rows, so they must be the same ones.
    "free": change_config(CONFIG, method="free-2", batch_size=19, alpha=0.02),
    "trades-yopo": change_config(CONFIG, method="trades-yopo-2-2"),
    "free-yopo": change_config(CONFIG, method="free-yopo-2-2", batch_size=19, alpha=0.02),
    "yopo-attack": change_config(CONFIG, method="yopo-attack-1-2"),
    "deep": change_config(CONFIG, method="deep-2", form="recursive", limit_train=33),
    "pgd, augmented": change_config(CONFIG, method="pgd-10", augment=True),
    # Weight steps of three mini-batches and of the last one.
    "accumulated": change_config(CONFIG, accumulate=3, clip_grad_norm=0.5),
    # One image in the last mini-batch: the first process has no rows, and draws nothing.
    "no rows": change_config(CONFIG, limit_train=33),
    # Each remembers half of the images, and all remember one perturbation a class; the last mini-batch has one image.
    "momentum": change_config(CONFIG, method="fast", start="momentum", augment=True, limit_train=49, consistency=0.5),
    "class": change_config(CONFIG, method="pgd-2", start="class", limit_train=33),
    "small images first": change_config(
        CONFIG,
        model=any_size_net.NAME,
        method="fast",
        progressive_sizes=(4,),
        progressive_epochs=(1,),
        augment=True,
        sync_bn=True,
        ewa_decay=0.5,
    ),
    "ensemble": change_config(CONFIG, members=3, objective="adp", epochs=1, milestones=()),
    # Centres are drawn by the first process, and are the others' too.
    "centres": change_config(CONFIG, objective="mmc", head="random-centres", feature_dim=5, lr=0.005),
    "image folder": change_config(CONFIG, dataset="folder", image_size=8, augment=True),
    # Five images and four in the last mini-batch. YOPO freezes the joint statistics; TRADES' attack has no batch.
    # Two batch norms in the first layer, and a convolution between them.
    "joint batch norm, cut": change_config(CONFIG, model=batch_norm_net.NAME, sync_bn=True, cut="bn2"),
    "joint batch norm, yopo": change_config(CONFIG, model=batch_norm_net.NAME, sync_bn=True),
    "joint batch norm, trades": change_config(
        CONFIG, model=batch_norm_net.NAME, method="trades-2", sync_bn=True, beta=1.0, ewa_decay=0.5, ewa_bn_batches=2
    ),
}
# TRADES crafts with the running statistics.
BATCH_NORM = change_config(
    CONFIG, model=batch_norm_net.NAME, method="trades-2", ewa_decay=0.5, ewa_bn_batches=2, limit_train=49, beta=1.0
)
# Each process freezes the statistics of its own images.
FROZEN = change_config(CONFIG, model=batch_norm_net.NAME)
HALF = change_config(CONFIG, amp="fp16", limit_train=33, epochs=1, ewa_decay=0.5, milestones=())
GOING_BACK = change_config(CONFIG, method="fast", on_overfitting="restart", cosine_every=2)
JOINT = "joint batch norm, yopo"
EPOCH, STEPS = 4, 6


def placed(config, root):
    """With the images of a folder where they are: below ``root``."""
    return change_config(config, data_dir=str(root / "images")) if config["dataset"] == "folder" else config


def jobs(root):
    """All that two processes do in these tests: they start once."""
    (root / "a file").write_text("in the way")
    write_image_folder(root / "images", train=30, test=11)
    wanted = [{"folder": name, "config": placed(config, root)} for name, config in EQUAL.items()]
    wanted += [
        {"folder": "yopo, in parts", "config": CONFIG, "stop": [1, STEPS]},
        {"folder": "yopo, in parts", "config": CONFIG},
        {"folder": "yopo, measured later", "config": CONFIG, "stop": [1, EPOCH]},
        {"folder": "yopo, measured later", "config": CONFIG},
        {"folder": "batch norm", "config": BATCH_NORM},
        {"folder": "batch norm, in parts", "config": BATCH_NORM, "stop": [0, STEPS]},
        {"folder": "batch norm, in parts", "config": BATCH_NORM},
        {"folder": "frozen", "config": FROZEN},
        {"folder": "frozen, in parts", "config": FROZEN, "stop": [1, STEPS]},
        {"folder": "frozen, in parts", "config": FROZEN},
        {"folder": "momentum, in parts", "config": EQUAL["momentum"], "stop": [1, STEPS]},
        {"folder": "momentum, in parts", "config": EQUAL["momentum"]},
        {"folder": f"{JOINT}, in parts", "config": EQUAL[JOINT], "stop": [1, STEPS]},
        {"folder": f"{JOINT}, in parts", "config": EQUAL[JOINT]},
        {"folder": "half precision", "config": HALF},
        {"folder": "going back", "config": GOING_BACK, "falls": [2]},
        {"folder": "no device", "config": CONFIG, "fails": 1},
        {"folder": "a file", "config": CONFIG},
    ]
    return [{**job, "folder": str(root / job["folder"]), "config": job["config"].to_dict()} for job in wanted]


class Found:
    """What two processes left of their jobs."""

    def __init__(self, root):
        self.root = root

    def of(self, name):
        return [json.loads((self.root / f"{name}-found-{rank}.json").read_text()) for rank in range(2)]

    def checkpoint(self, name):
        return load_checkpoint(self.root / name)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    (root / "jobs.json").write_text(json.dumps(jobs(root)))
    run_together(SCRIPT, root / "jobs.json", 2)
    return Found(root)


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_equal_one_on_the_joint_mini_batches(tmp_path, two, name):
    config = placed(EQUAL[name], two.root)
    Run(config, tmp_path / "one", show=False).fit()
    first, second = two.of(name)
    replays = config["m"] if config.method.name in ("free", "free-yopo") else 1
    assert first["exchanges"] == first["steps"] * replays  # once a weight step, not once a pass
    assert first["state"] == second["state"]  # the generators' too
    if name == "yopo":
        assert [first["rows"], second["rows"]] == [[0, 4, 9], [4, 9, 9]]
    if name == "no rows":
        assert [first["rows"], second["rows"]] == [[0, 0, 1], [0, 1, 1]]
    one = load_checkpoint(tmp_path / "one")
    both = two.checkpoint(name)
    for key, value in (one["processes"][0]["adversary"] or {}).items() if name in ("momentum", "class") else ():
        parts = [state["adversary"][key] for state in both["processes"]]
        joint = torch.cat(parts) if name == "momentum" else parts[1]
        assert (joint.float() - value.float()).abs().gt(0.02 * value.abs().max()).float().mean() < 0.01, key
    for theirs, ours in ((one["model"], both["model"]), (measured_weights(one), measured_weights(both))):
        for parameter, value in theirs.items():
            torch.testing.assert_close(ours[parameter], value, rtol=1e-3, atol=1e-4, msg=parameter)
    for ours, theirs in zip(both["progress"]["log"], one["progress"]["log"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        if "gradient_cosine" in theirs:
            assert ours["gradient_cosine"] == pytest.approx(theirs["gradient_cosine"], rel=1e-3)
        assert ours["clean"] == pytest.approx(theirs["clean"])
        assert ours["attacked_accuracy"] == pytest.approx(theirs["attacked_accuracy"])
        # How often a line search looks depends on the images.
        assert ours["units"] == pytest.approx(theirs["units"], rel=0.2 if name == "deep" else 1e-6)


def test_all_go_back_together(two, tmp_path):
    let_fall(Run(GOING_BACK, tmp_path / "one", show=False).trainer, [2]).fit()
    first, second = two.of("going back")
    assert first["state"] == second["state"]
    one, both = load_checkpoint(tmp_path / "one"), two.checkpoint("going back")
    for state in (one, both):
        assert "on with 0.5 of alpha" in state["progress"]["log"][1]["restarted"]
    for parameter, value in one["model"].items():
        torch.testing.assert_close(both["model"][parameter], value, rtol=1e-3, atol=1e-4, msg=parameter)


@pytest.mark.parametrize(
    ("name", "how", "done"),
    [
        ("yopo", "in parts", STEPS + 1),  # the next exchange tells it
        ("yopo", "measured later", EPOCH),  # asked after the epoch's last step: the measurement's sums tell it
        ("batch norm", "in parts", STEPS + 1),
        ("frozen", "in parts", STEPS + 1),
        (JOINT, "in parts", STEPS + 1),
        ("momentum", "in parts", STEPS + 1),
    ],
)
def test_a_stop_on_one_process_stops_both_which_resume_bit_for_bit(two, name, how, done):
    whole, parts = two.checkpoint(name), two.checkpoint(f"{name}, {how}")
    for one, other in ((whole["model"], parts["model"]), (measured_weights(whole), measured_weights(parts))):
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert ("averaging" in whole["events"]) == (name == "batch norm")
    assert same([one["adversary"] for one in whole["processes"]], [one["adversary"] for one in parts["processes"]])
    assert len(parts["processes"]) == 2
    names = ("loss", "clean", "curve_robust", "units_total")
    figures = [[line[name] for name in names] for line in whole["progress"]["log"]]
    assert figures == [[line[name] for name in names] for line in parts["progress"]["log"]]
    first, second = two.of(f"{name}, {how}")
    assert first["state"] == second["state"] == two.of(name)[0]["state"]
    # Resumed, they made the steps that were missing, and no other.
    assert first["exchanges"] == second["exchanges"] == first["steps"] - done


def test_a_run_of_two_processes_goes_on_in_one(two, tmp_path):
    """For an epoch more; what it goes on from is the same network, order and starts."""
    longer = change_config(CONFIG, epochs=3)
    alone = Run(longer, tmp_path / "alone", show=False)
    alone.fit()
    shutil.copytree(two.root / "yopo", tmp_path / "run")
    run = Run(longer, tmp_path / "run", show=False)
    run.resume()
    run.fit()
    for name, value in alone.trainer.model.state_dict().items():
        torch.testing.assert_close(run.trainer.model.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert "resumed on 1 process after 2: " in run.trainer.log[-1]["resumed"]
    assert run.trainer.log[-1]["loss"] == pytest.approx(alone.trainer.log[-1]["loss"], rel=1e-4)


def test_the_sums_of_an_unfinished_epoch_are_handed_on_once():
    parts = []
    for rank in range(2):
        sums = EpochSums(CPU)
        sums.add({"loss": torch.tensor(1.0 + rank), "correct": torch.tensor(2), "count": torch.tensor(4)}, step=1)
        parts.append({"sums": sums.state_dict()})
    ends = [EpochSums(CPU), EpochSums(CPU)]
    for first, sums in zip((True, False), ends, strict=True):
        sums.load_state_dict(joint_sums(parts, first=first))
    assert ends[0].means(Processes()) == (1.5, 0.5)
    assert ends[1].state_dict()["sums"].tolist() == [0, 0, 0]


def test_the_figures_of_a_network_with_batch_norm_are_those_of_the_saved_one(two):
    state = two.checkpoint("batch norm")
    run = Run(BATCH_NORM, two.root / "again", show=False)
    run.trainer.measured_model.load_state_dict(measured_weights(state))
    found = curve_accuracies(BATCH_NORM, run.trainer.measured_model, run.parts.curve_images, Processes(), StopRequest())
    line = state["progress"]["log"][-1]
    assert {name: line[name] for name in found} == found
    assert state["model"]["bn1.running_mean"].abs().sum() > 0
    assert state["model"]["bn1.num_batches_tracked"] == 2 * 2 * 4  # two passes a step, four steps an epoch


def test_running_statistics_in_the_first_layer_move_once_a_pass(two):
    assert two.checkpoint("frozen")["model"]["bn1.num_batches_tracked"] == 2 * 2 * EPOCH  # passes, epochs, steps


def test_an_overflow_on_one_process_is_a_skipped_step_of_both(two):
    first, second = two.of("half precision")
    assert first["state"] == second["state"]
    state = two.checkpoint("half precision")
    assert state["precision"]["scaler"]["scale"] == 2.0**16 / 2 ** state["precision"]["skipped"]
    assert state["events"]["averaging"]["n_averaged"] == 3 - state["precision"]["skipped"]


def test_what_one_process_cannot_do_the_other_hears_of(two):
    first, second = (one["error"] for one in two.of("no device"))
    assert second.startswith("ValueError: device 'warp' cannot be used")
    assert first == "ProcessError: process 1 of 2: " + second.removeprefix("ValueError: ")
    first, second = (one["error"] for one in two.of("a file"))
    assert first.startswith("WriteError: ")
    assert "a file cannot be written: File exists" in first
    assert second == "ProcessError: process 0 of 2: " + first.removeprefix("WriteError: ")


def test_joint_batch_norm_is_torch_s_on_gpus_and_needs_images_for_all():
    model, pair, gpu = batch_norm_net.BatchNormNet(1, 10), Processes(0, 2), torch.device("cuda")
    assert with_joint_statistics(model, Processes(), CPU, images=17, batch_size=16) is model
    with pytest.raises(ValueError, match="sync_bn: got a last mini-batch of 1 images for 2 processes"):
        with_joint_statistics(model, pair, gpu, images=17, batch_size=16)
    dropped = with_joint_statistics(copy.deepcopy(model), pair, gpu, images=17, batch_size=16, drop_last=True)
    assert isinstance(dropped.bn1, torch.nn.SyncBatchNorm)
    keys = list(model.state_dict())
    ours = with_joint_statistics(copy.deepcopy(model), pair, CPU, images=18, batch_size=16)
    joint = with_joint_statistics(model, pair, gpu, images=18, batch_size=16)
    assert (type(joint.bn1), type(ours.bn2)) == (torch.nn.SyncBatchNorm, JointBatchNorm)
    assert list(joint.state_dict()) == list(ours.state_dict()) == keys


def test_joint_gradients_have_the_layout_of_their_parameters(monkeypatch):
    """Fused optimisers compare them, and parameters are channels-last by default."""
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    conv.weight.grad = torch.randn_like(conv.weight).contiguous()
    expected = 0.5 * conv.weight.grad
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, *_: None)
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1), rows=(0, 1, 2))
    Exchange(conv, Processes(0, 2), CPU, JointGenerator())(batch, 1, 2)
    assert torch.equal(conv.weight.grad, expected)
    conv.weight.grad = conv.bias.grad = None
    # The other process has one gradient.
    monkeypatch.setattr(
        torch.distributed, "all_reduce", lambda message, *_: message[-2:].copy_(torch.tensor([1.0, 0.0]))
    )
    Exchange(conv, Processes(0, 2), CPU, JointGenerator())(batch, 1, 2)
    assert conv.bias.grad is None
    assert conv.weight.grad.stride() == conv.weight.stride() != (27, 9, 3, 1)


class Event:
    """A CUDA event that counts how often somebody waited for one."""

    waited = 0

    def record(self):
        pass

    def synchronize(self):
        Event.waited += 1


def test_on_a_gpu_a_stop_is_read_two_exchanges_later(monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *sizes, pin_memory, **options: empty(*sizes, **options))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    flags = StopFlags(torch.device("cuda"))
    raised = []
    for asked in (0.0, 1.0, 1.0, 0.0, 0.0):
        flags.add(torch.tensor([asked]))
        raised.append(flags.raised())
    assert raised == [False, False, False, True, True]
    assert Event.waited == 3
    flags = StopFlags(CPU)
    flags.add(torch.tensor([1.0]))
    assert (flags.raised(), flags.raised()) == (True, False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without GPUs")
def test_a_process_without_a_gpu_of_its_own_says_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match="device 'cuda:1' cannot be used"), started_processes("cuda"):
        pass


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.bool])
def test_a_checksum_is_of_the_values_whatever_their_layout(dtype):
    values = torch.arange(24).reshape(2, 3, 4).to(dtype)
    assert checksum(values) == checksum(values.transpose(0, 1).contiguous().transpose(0, 1))
    assert checksum(values[0, :, 1]) == checksum(values[0, :, 1].clone())
    assert checksum(values) != checksum(1 - values.int())
    assert checksum(values[0, 0, 0]) != checksum(values[0])


@pytest.mark.parametrize("total", [1, 2, 5, 16])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_row_is_one_processs(total, count):
    parts = [Processes(rank, count).rows(total) for rank in range(count)]
    assert [row for start, stop in parts for row in range(start, stop)] == list(range(total))
    sizes = [stop - start for start, stop in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sizes[-1] > 0
