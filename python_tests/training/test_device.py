# SPDX-License-Identifier: MIT
"""The device that is taken where none is named, and runs that go on on another kind."""

import json

import pytest
import torch

from yopo_ext.cli import main
from yopo_ext.random_streams import set_stream
from yopo_ext.training import CheckpointError, change_config, load_checkpoint
from yopo_ext.training.config import config_from_dict
from yopo_ext.training.files.checkpoint import save_checkpoint
from yopo_ext.training.host import choose_device, chosen_device_text
from yopo_ext.training.loop.another_device import stepped_as

QUICK = ["--limit-train", "32", "--limit-eval", "16", "--epochs", "1", "--curve-steps", "1", "--eval-steps", "1"]


@pytest.mark.parametrize(("there", "taken"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_cuda_where_there_is_one(monkeypatch, there, taken):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda name: "a GPU")
    assert choose_device("auto") == taken
    assert choose_device("cuda:1") == "cuda:1"
    text = {"cpu": "cpu (--device auto: PyTorch finds no CUDA device)", "cuda": "cuda, a GPU (--device auto)"}[taken]
    assert chosen_device_text("auto", taken) == f"device: {text}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto takes the GPU")
def test_the_commands_say_what_they_took_and_the_run_keeps_both(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--no-compare-natural", "--out", "a", *QUICK]) == 0
    assert capsys.readouterr().out.count("device: cpu (--device auto: PyTorch finds no CUDA device)\n") == 1
    kept = json.loads((tmp_path / "a" / "config.json").read_text())
    assert (kept["host"]["device"], kept["taken"]) == ("auto", {"device": "cpu", "runs": ["."]})
    assert config_from_dict(kept).host.device == "auto"
    assert main(["train", "--no-compare-natural", "--out", "b", "--config", "a/config.json", "--device", "cpu"]) == 0
    assert "device:" not in capsys.readouterr().out
    assert json.loads((tmp_path / "b" / "config.json").read_text())["host"]["device"] == "cpu"
    assert main(["evaluate", "a", "--attacks", "clean", "--json"]) == 0
    captured = capsys.readouterr()
    assert "clean" in json.loads(captured.out)
    assert captured.err == "device: cpu (--device auto: PyTorch finds no CUDA device)\n"
    said = captured.err
    assert main(["evaluate", "nowhere", "b", "--steps", "1", "--limit", "4"]) == 1  # of several networks
    measured, failure = capsys.readouterr().err.splitlines(keepends=True)
    assert measured == said
    assert failure.startswith("yopo: nowhere: ")
    wrong = (
        ["nowhere"], ["nowhere", "neither"], ["a", "a"], ["a", "--weights", "w.pt"], ["a", "--model", "resnet18"],
        ["a", "--limit", "0"], ["a", "--steps", "-1"], ["a", "b", "--steps", "-1"], ["a", "--transfer", "nowhere"],
        ["a", "--attacks", "clean", "--plots", "p"], ["a", "--sweep-eps", "-1"], ["--weights", "w.pt"],
        ["a", "b", "--sweep-steps", "1", "--format", "csv"],
    )  # fmt: skip
    for words in wrong:
        assert main(["evaluate", *words]) != 0, words
        captured = capsys.readouterr()
        assert captured.err.startswith("yopo: "), words
        assert said not in captured.err, words


def as_if_on_a_gpu(path, *, position=0):
    """Makes a CPU's checkpoint one of a GPU's: short generator states, fused steps."""
    state = load_checkpoint(path)
    short = torch.arange(16, dtype=torch.uint8)
    state["progress"] |= {"device": "cuda", "position": position}
    state["generator"] = state["batches"]["order_rng"] = state["batches"]["augmentation_rng"] = short
    for group in state["optimizer"]["param_groups"]:
        group["fused"] = True
    save_checkpoint(path, state)


@pytest.mark.parametrize("changes", [{}, {"method": "free-2"}, {"optimizer": "adam", "lr": 1e-3, "ewa_decay": 0.5}])
def test_a_run_goes_on_on_another_kind_of_device_and_says_so(runs, changes):
    config = change_config(runs.config, **changes)
    runs.interrupted("run", config, 4)
    as_if_on_a_gpu(runs.root / "run" / "last.pt")
    orders = []
    for _ in range(2):
        resumed = runs.trainer("run", config)
        with pytest.warns(UserWarning, match="the run was on cuda and goes on on cpu"):
            resumed.resume()
        orders.append(resumed.batches.state_dict()["order_rng"])
    assert torch.equal(*orders)
    assert not resumed.optimizer.param_groups[0]["fused"]
    resumed.fit()
    assert len(resumed.log) == 3


def test_inside_an_epoch_another_kind_of_device_is_refused(runs):
    runs.interrupted("run", runs.config, 6)
    as_if_on_a_gpu(runs.root / "run" / "last.pt", position=2)
    with pytest.raises(CheckpointError, match=r"last.pt: written inside an epoch on cuda, .* expected cuda"):
        runs.trainer("run").resume()


def test_a_stream_goes_on_or_is_a_new_one_of_that_state():
    first, second = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    set_stream(second, first.get_state())
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))
    draws = []
    for byte in (1, 1, 2):
        set_stream(first, torch.full((16,), byte, dtype=torch.uint8))
        draws.append(torch.rand(3, generator=first))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_optimizer_keeps_its_own_kernels():
    weights = [torch.nn.Parameter(torch.ones(2))]
    ours, theirs = (torch.optim.SGD(weights, lr=lr, fused=fused) for lr, fused in ((1.0, False), (0.5, True)))
    found = stepped_as(ours, theirs.state_dict())["param_groups"][0]
    assert (found["lr"], found["fused"]) == (0.5, False)
