# SPDX-License-Identifier: MIT
"""docs/troubleshooting.md quotes errors: each quotation is raised here, and equals what is raised, word for word."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch
from code_blocks import DOCS, ROOT, blocks
from torch import nn
from torch.nn.functional import cross_entropy

import yopo_ext
from yopo_ext.adversaries import pgd
from yopo_ext.cli import main
from yopo_ext.data import DataFileError, Dataset, ImageSet, load_dataset
from yopo_ext.evaluation import FGSMAttack, accuracy, measure
from yopo_ext.models import WeightsError, load_weights
from yopo_ext.training import (
    CheckpointError,
    ProcessError,
    Processes,
    Run,
    Trainer,
    TrainingError,
    make_config,
    run_job,
)
from yopo_ext.training.host import open_device
from yopo_ext.training.loop import with_joint_statistics
from yopo_ext.training.loop.own_batches import require_equal_lengths
from yopo_ext.training.runs.comparison import check_rows

QUOTED = [" ".join(text.split()) for text in blocks(DOCS / "troubleshooting.md", "text")]
X, Y = torch.linspace(0, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8), torch.tensor([1, 2])


def net(*head: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head, nn.Flatten(), nn.Linear(144, 10))


class Called(nn.Module):
    """Calls its first layer in some way of its own."""

    def __init__(self, call: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.rest, self.call = nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(144, 10)), call

    def forward(self, x):
        return self.rest(self.call(self.first, x))


def yopo(model: nn.Module, first_layer: object, x: torch.Tensor = X, **options: object) -> None:
    yopo_ext.YOPO(model, first_layer, m=1, n=1, **options).accumulate(x, Y)


def without_gradients(first, x):
    with torch.no_grad():
        return first(x)


def operator(**options: object) -> None:
    arguments = {"p": torch.zeros(2, 4, 6, 6), "eps": 0.1, "alpha": 0.1, "steps": 1} | options
    yopo_ext.inner_ascent(X, torch.zeros_like(X), weight=torch.zeros(4, 3, 3, 3), **arguments)


def a_slice() -> None:
    model = net()
    yopo(model, model[:2])


def out_of_bounds() -> None:
    model = net()
    yopo(model, model[0], 4 * X - 2)


class Skip(nn.Module):
    """The input reaches the loss past the first layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.skip, self.head = (nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(3, 4, 3), nn.Linear(144, 10)
        self.features = nn.Sequential(*self.first)

    def forward(self, x):
        return self.head((self.features(x) + 5 * self.skip(x)).flatten(1))


def past_the_first_layer() -> None:
    model = Skip()
    yopo(model, model.first)


def something_in_between() -> None:
    model = net()
    model.insert(1, nn.MaxPool2d(2))
    model[-1] = nn.Linear(36, 10)
    yopo(model, (model[0], model[2]))


def shifted_images() -> None:
    model = Called(lambda first, x: first(x - 1))
    yopo(model, model.first, generator=torch.Generator().manual_seed(0))


def resized() -> None:
    model = Called(lambda first, x: first(nn.functional.interpolate(x, scale_factor=2))[..., :6, :6])
    yopo(model, model.first)


def part_of_the_batch() -> None:
    model = Called(lambda first, x: first(x[:1]).expand(2, -1, -1, -1))
    yopo(model, model.first)


def grey_levels() -> None:
    model = net()
    yopo(model, model[0], eps=8)


def one_output() -> None:
    model = net()
    model[-1] = nn.Linear(144, 1)
    yopo(model, model[0])


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x):
        return self.net(x), x


def a_pair() -> None:
    model = Pair()
    yopo(model, model.net[0])


def one_relu_for_all() -> None:
    model, relu = net(), nn.ReLU()
    model[1], model[3] = relu, nn.Sequential(relu, model[3])
    with yopo_ext.capture_costate((model[0], relu)):
        cross_entropy(model(X), Y).backward()


def called_in_no_grad() -> None:
    model = Called(without_gradients)
    yopo(model, model.first, first_layer_grad="both")


def compiled() -> None:
    model = net()
    whole = torch.compile(model, backend="eager")
    whole(X)
    with yopo_ext.capture_costate(model[0]):
        cross_entropy(whole(X), Y).backward()


def no_backward() -> None:
    model = net()
    with yopo_ext.capture_costate(model[0]):
        cross_entropy(model(X), Y)


def normalised_stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def no_statistics() -> None:
    layer = yopo_ext.FirstLayer(normalised_stem())
    layer.inner_ascent(X, 0 * X, torch.zeros(2, 4, 6, 6), eps=0.1, alpha=0.1, steps=1)


def compiled_stem() -> None:
    stem = torch.compile(normalised_stem(), backend="eager")
    stem(X)
    with yopo_ext.capture_costate(stem) as costate:
        stem(X).sum().backward()
    costate.statistics  # noqa: B018


def learnable_before() -> None:
    model = net()
    shift = torch.zeros(1, 3, 1, 1, requires_grad=True)
    outer = Called(lambda first, x: model[0](x + shift))
    yopo(outer, model[0])


def not_reduced() -> None:
    model = net()
    yopo(model, model[0], loss=lambda logits, y: cross_entropy(logits, y, reduction="none"))


def bytes_for_images() -> None:
    model = net()
    yopo(model, model[0], (255 * X).byte())


def one_neuron() -> None:
    accuracy(nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), ImageSet((255 * X).byte(), Y - 1, 2))


def a_generator() -> None:
    accuracy(net(), (batch for batch in [(X, Y)]))


def normalised_images() -> None:
    accuracy(net(), (5 * (X - X.min()) / (X.max() - X.min()) - 2.5, Y))


class Smallest:
    """The class is the smallest logit's."""

    def attack(self, outputs, y):
        return cross_entropy(-outputs, y)

    def predict(self, outputs):
        return outputs.argmin(1)


def another_column() -> None:
    model = net()
    images = X, model(X).argmin(1)
    measure(model, images, [FGSMAttack(0.1)], objective=Smallest(), check_normalisation=False)


def made_in_inference_mode() -> None:
    with torch.inference_mode():
        pgd(net(), X, Y, eps=0.1, alpha=0.1, steps=1)


def surplus_key() -> None:
    torch.save(net().state_dict() | {"aux.bias": torch.zeros(1)}, "w.pt")
    load_weights(net(), Path("w.pt"))


def grouped() -> None:
    layer = yopo_ext.FirstLayer(nn.Conv2d(3, 6, 3, groups=3))
    layer.inner_ascent(X, torch.zeros_like(X), torch.zeros(2, 6, 6, 6), eps=0.1, alpha=0.1, steps=1, backend="torch")


def of_double(backend: str) -> None:
    x = X.double()
    zeros = torch.zeros(2, 4, 6, 6).double()
    yopo_ext.inner_ascent(
        x, x, zeros, torch.zeros(4, 3, 3, 3).double(), eps=0.1, alpha=0.1, steps=1, backend=backend
    )  # fmt: skip


def large_image() -> None:
    x = torch.zeros(1, 3, 512, 512)
    weight, p = torch.zeros(1, 3, 7, 7), torch.zeros(1, 1, 256, 256)
    layer = {"stride": 2, "padding": 3, "activation": "relu"}
    yopo_ext.explain(x, x, p, weight, **layer, eps=0.1, alpha=0.1, steps=1, backend="cpu")


def no_gpu() -> None:
    with mock.patch("torch.zeros", side_effect=AssertionError("Torch not compiled with CUDA enabled")):
        open_device("cuda")


def no_files() -> None:
    Path("DIR").mkdir()
    load_dataset("mnist", "DIR")


def a_run_is_there() -> None:
    folder = Path("runs/NAME")
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    run_job(make_config(), folder, compare_natural=False, resume=False, show=False)


def small_run(**settings: object) -> Run:
    images = ImageSet(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), 10)
    config = make_config(m=1, n=1, epochs=1, **settings)
    return Run(config, Path("runs/NAME"), Dataset("digits", images, images), show=False)


def a_used_folder() -> None:
    trainer = small_run().trainer
    (trainer.folder / "last.pt").touch()
    trainer.fit()


def full_disk() -> None:
    trainer = small_run().trainer
    (trainer.folder / "last.pt").touch()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("yopo_ext.atomic_files._RawFile._system_write", side_effect=full):
        trainer.checkpoints.save()


def joint_batch_norm_of_no_image() -> None:
    with_joint_statistics(net(), Processes(0, 2), torch.device("cpu"), images=5, batch_size=4)


def what_cannot_be_iterated() -> None:
    model = net()
    Trainer(model, yopo_ext.YOPO(model, model[0]), iter([(X, Y)]), torch.optim.SGD(model.parameters()), epochs=1)


def batches_of_three() -> None:
    model = net()
    adversary = yopo_ext.YOPO(model, model[0])
    Trainer(model, adversary, [(X, Y, Y)], torch.optim.SGD(model.parameters()), epochs=1).fit()


def another_process_fails() -> None:
    cuda = AssertionError("Torch not compiled with CUDA enabled")
    with mock.patch("torch.zeros", side_effect=cuda), pytest.raises(ValueError, match=r".") as error:
        open_device("cuda:1")
    told = [None, str(error.value)]
    with mock.patch.object(Processes, "gather", return_value=told), Processes(0, 2).together():
        pass


def averaging_in_each_pass() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = net()
        yopo(nn.parallel.DistributedDataParallel(model), model[0])
    finally:
        torch.distributed.destroy_process_group()


def loaders_of_different_lengths() -> None:
    with mock.patch.object(Processes, "gather", return_value=[12, 8]):
        require_equal_lengths([(X, Y)], Processes(0, 2))


def not_finite() -> None:
    trainer = small_run().trainer
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))
    trainer.fit()


def other_settings() -> None:
    small_run(lr=0.05).trainer.checkpoints.save()
    small_run(lr=0.1).resume()


def a_file_s_wrong_section() -> None:
    Path("mine.toml").write_text("[loop]\nlr = 0.1\n")
    make_config(file=Path("mine.toml"))


def one_image_alone() -> None:
    images = ImageSet(torch.zeros(17, 1, 8, 8, dtype=torch.uint8), torch.zeros(17, dtype=torch.int64), 10)
    config = make_config(model="preactresnet18", batch_size=16)
    Run(config, Path("runs"), Dataset("digits", images, images), show=False)


def other_images() -> None:
    check_rows([make_config(method="natural"), make_config(method="pgd-2", limit_train=16)])


RAISED = {
    "a slice of the model": (RuntimeError, a_slice),
    "images out of bounds": (ValueError, out_of_bounds),
    "attack steps without a first layer": (
        ValueError,
        lambda: pgd(net(), X, Y, eps=0.1, alpha=0.1, steps=2, in_kernel="on"),
    ),
    "past the first layer": (RuntimeError, past_the_first_layer),
    "something in between": (RuntimeError, something_in_between),
    "shifted images": (RuntimeError, shifted_images),
    "resized": (RuntimeError, resized),
    "part of the batch": (RuntimeError, part_of_the_batch),
    "grey levels": (ValueError, grey_levels),
    "one output": (ValueError, one_output),
    "a pair": (TypeError, a_pair),
    "one ReLU for all": (RuntimeError, one_relu_for_all),
    "no_grad": (RuntimeError, called_in_no_grad),
    "compiled": (RuntimeError, compiled),
    "no backward": (RuntimeError, no_backward),
    "no statistics": (ValueError, no_statistics),
    "a compiled stem": (RuntimeError, compiled_stem),
    "learnable before": (RuntimeError, learnable_before),
    "a loss a sample": (ValueError, not_reduced),
    "bytes": (TypeError, bytes_for_images),
    "one neuron": (ValueError, one_neuron),
    "a generator": (TypeError, a_generator),
    "normalised images": (ValueError, normalised_images),
    "another column": (ValueError, another_column),
    "inference mode": (RuntimeError, made_in_inference_mode),
    "a surplus key": (WeightsError, surplus_key),
    "groups": (RuntimeError, grouped),
    "shape of p": (ValueError, lambda: operator(p=torch.zeros(2, 4, 8, 8))),
    "radius": (ValueError, lambda: operator(eps=-0.1)),
    "l2 a channel": (ValueError, lambda: operator(eps=[0.1, 0.1, 0.1], norm="l2")),
    "double on cpu": (RuntimeError, lambda: of_double("cpu")),
    "dtype of p": (TypeError, lambda: operator(p=torch.zeros(2, 4, 6, 6).double())),
    "a large image": (RuntimeError, large_image),
    "no GPU": (ValueError, no_gpu),
    "no files": (DataFileError, no_files),
    "a run is there": (FileExistsError, a_run_is_there),
    "a used folder": (FileExistsError, a_used_folder),
    "full disk": (TrainingError, full_disk),
    "sync_bn without an image": (ValueError, joint_batch_norm_of_no_image),
    "no batches": (TypeError, what_cannot_be_iterated),
    "batches of three": (TypeError, batches_of_three),
    "a wrong section": (ValueError, a_file_s_wrong_section),
    "another process": (ProcessError, another_process_fails),
    "averaging in each pass": (RuntimeError, averaging_in_each_pass),
    "loaders of different lengths": (ValueError, loaders_of_different_lengths),
    "not finite": (TrainingError, not_finite),
    "other settings": (CheckpointError, other_settings),
    "one image alone": (ValueError, one_image_alone),
    "natural to the end": (ValueError, lambda: make_config(delay=4, epochs=4)),
    "rows of other images": (ValueError, other_images),
}
PRINTED = {
    "data": ["train", "--dataset", "mnist"],
    "grey levels": ["train", "--eps", "8"],
    "not read": ["train", "--method", "pgd-10", "--reduction", "sum"],
    "resume": ["train", "--resume", "runs/NAME", "--lr", "0.1"],
    "longer": ["train", "--resume", "runs/NAME", "--epochs", "60"],
}


@pytest.mark.parametrize("name", RAISED)
def test_an_error_reads_as_quoted(name, request, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    kind, raises = RAISED[name]
    if name in ("double on cpu", "a large image"):
        request.getfixturevalue("needs_native")
    with pytest.raises(kind) as error:
        raises()
    assert " ".join(f"{kind.__name__}: {error.value}".split()) in QUOTED


@pytest.mark.parametrize("name", PRINTED)
def test_a_command_complains_as_quoted(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/NAME")
    folder.mkdir(parents=True)
    make_config(epochs=40, schedule="cosine").write(folder / "config.json")
    assert main(PRINTED[name]) == 2
    assert " ".join(capsys.readouterr().err.split()) in QUOTED


def test_the_build_complains_as_quoted():
    """setup.py is read and not run: only a machine without a compiler could raise it."""
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert 'raise SystemExit(f"YOPO_EXT_NATIVE=on, but {reason}")' in source
    reason = "no C++ compiler found (set CXX or install g++)"
    assert f'return "{reason}"' in source
    assert f"YOPO_EXT_NATIVE=on, but {reason}" in QUOTED


def test_nothing_else_is_quoted():
    assert len(QUOTED) == len(set(QUOTED)) == len(RAISED) + len(PRINTED) + 1
