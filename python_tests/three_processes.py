# SPDX-License-Identifier: MIT
"""What three processes find that share work in every way there is; test_three_processes.py reads it.

Usage: three_processes.py FOLDER, in processes that the environment describes. Each writes FOLDER/found-RANK.json.
"""

import io
import json
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import batch_norm_net
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import yopo_ext
from yopo_ext import gradient_exchange
from yopo_ext.adversaries import PGD, TRADES, TRADESYOPO, Free, FreeYOPO, Natural, YOPOAttack
from yopo_ext.ball import Ball
from yopo_ext.cli import main as command
from yopo_ext.data import ImageSet, load_dataset, to_float
from yopo_ext.detectors import Confidence, KernelDensity
from yopo_ext.evaluation import (
    AdaptiveAttack,
    ClassLogits,
    FGSMAttack,
    PGDAttack,
    RaySAttack,
    SPSAAttack,
    fit_detectors,
    measure,
    measure_with_detectors,
    sweep,
    transfer_matrix,
)
from yopo_ext.evaluation.attacks import Outcome
from yopo_ext.joint_generator import JointGenerator
from yopo_ext.processes import checksum
from yopo_ext.training import Event, Run, Trainer, read_run, started_processes

ROWS = ((0, 3), (3, 4), (4, 8))  # of a mini-batch of eight
BALL = Ball(0.1, 0.03)


def error_of(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


# Gradients


class Mixed(nn.Module):
    """Parameters of two dtypes; one that is frozen, one that nobody uses, one that two processes use."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.short = nn.Parameter(torch.zeros(5, dtype=torch.bfloat16))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.unused, self.rare = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4))
        self.norm = nn.BatchNorm2d(4)


def filled(rank):
    """The gradients and statistics of a process."""
    model = Mixed()
    for parameter in (model.conv.weight, model.conv.bias, model.short, model.norm.weight, model.norm.bias):
        parameter.grad = torch.full_like(parameter, 1.0 + rank)
    model.frozen.grad = torch.full((2,), 7.0 + rank)
    if rank > 0:
        model.rare.grad = torch.full((4,), 6.0 * rank)
    model.norm.running_mean.fill_(rank)
    return model


def averaged(processes, **options):
    model = filled(processes.rank)
    memory = model.conv.weight.grad.data_ptr()
    yopo_ext.average_gradients(model, **options)
    assert model.conv.weight.grad.data_ptr() == memory
    assert model.conv.weight.grad.stride() == model.conv.weight.stride()
    values = {
        name: None if one.grad is None else one.grad.flatten()[0].item() for name, one in model.named_parameters()
    }
    return values | {"mean": model.norm.running_mean[0].item(), "dtype": str(model.short.grad.dtype)}


def gradients(processes):
    whole, gradient_exchange.BUCKET_BYTES = gradient_exchange.BUCKET_BYTES, 40
    parts = averaged(processes)
    gradient_exchange.BUCKET_BYTES = whole
    return {
        "alike": averaged(processes),
        "in parts": parts,
        "by images": averaged(processes, images=(1, 0, 3)[processes.rank]),
        "none": averaged(processes, images=0),
        "without statistics": averaged(processes, statistics=False),
        "negative": error_of(yopo_ext.average_gradients, filled(0), images=-1),
    }


# DistributedDataParallel


def joint_batch_norm():
    """What torch says of it on CPUs, in training and in evaluation."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3))
    return [error_of(model, torch.rand(2, 3, 4, 4)), error_of(model.eval(), torch.rand(2, 3, 4, 4))]


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))


def adversaries(model, first_layer, generator=None):
    same = {"generator": generator}
    return {
        "yopo": yopo_ext.YOPO(model, first_layer, m=2, n=2, eps=0.1, alpha=0.03, **same),
        "yopo-both": yopo_ext.YOPO(
            model, first_layer, m=2, n=2, eps=0.1, alpha=0.03, first_layer_grad="both", reduction="sum", **same
        ),
        "trades-yopo": TRADESYOPO(model, first_layer, BALL, 2, 2, **same),
        "yopo-attack": YOPOAttack(model, first_layer, BALL, 2, 2, **same),
        "free-yopo": FreeYOPO(model, first_layer, 2, 2, 0.1, 0.03, start="random", **same),
        "trades": TRADES(model, BALL, 2, **same),
        "pgd": PGD(model, BALL, 2, **same),
        "free": Free(model, BALL, 2),
    }


NAMES = ("yopo", "yopo-both", "trades-yopo", "yopo-attack", "free-yopo", "trades", "pgd", "free")


def gradients_of(adversary, model, x, y, *, outside=False, bf16=False):
    """After two mini-batches, the first one's check included."""
    bare = getattr(model, "module", model)
    for _ in range(2):
        bare.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if model is bare or outside:
                adversary.accumulate(x, y)
            else:
                with model.no_sync():
                    adversary.accumulate(x, y)
        if model is not bare and not outside:
            yopo_ext.average_gradients(model, images=len(x))
    return [parameter.grad for parameter in bare.parameters()]


def under_ddp(processes):
    images = load_dataset("digits").train.take(8)
    x, y = images.images / 255.0, images.labels
    own = slice(*ROWS[processes.rank])
    found = {}
    for name in NAMES:
        for bf16 in (False, True) if name == "yopo" else (False,):
            joint, generator = network(), JointGenerator().manual_seed(1)
            one = gradients_of(adversaries(joint, tuple(joint[:2]), generator)[name], joint, x, y, bf16=bf16)
            bare, generator = network(), JointGenerator().manual_seed(1)
            generator.rows = (*ROWS[processes.rank], 8)
            ddp = DistributedDataParallel(bare)
            shared = gradients_of(adversaries(ddp, tuple(bare[:2]), generator)[name], ddp, x[own], y[own], bf16=bf16)
            key = f"{name}, bf16" if bf16 else name
            found[key] = max(float((a - b).norm() / a.norm()) for a, b in zip(one, shared, strict=True))
    return found | {"outside": outside_no_sync(x, y, processes)}


def outside_no_sync(x, y, processes):
    """Those that make gradients in one backward pass may leave the averaging to DDP, where all have as many images."""
    found, own = {}, slice(2 * processes.rank, 2 * processes.rank + 2)
    for name in ("yopo", "pgd", "trades", "free"):
        bare = network()
        ddp = DistributedDataParallel(bare)
        adversary = adversaries(ddp, tuple(bare[:2]))[name]
        torch.manual_seed(processes.rank)
        found[name] = error_of(gradients_of, adversary, ddp, x[own], y[own], outside=True)
        if found[name] is None:
            found[f"{name}, alike"] = len(set(processes.gather(bare[0].weight.grad.sum().item()))) == 1
        else:
            found[f"{name}, untouched"] = all(parameter.grad is None for parameter in bare.parameters())
    return found


# Measuring


@dataclass(frozen=True)
class OfItsBatch:
    """An attack whose outcome depends on its batch, as AutoAttack's does; it fails in one process."""

    label: str = "of its batch"
    eps: float = 0.1
    norm: str = "linf"
    fails: bool = False

    def require_classes(self, classes):
        pass

    def run(self, model, images, correct):
        if self.fails:
            raise RuntimeError("out of memory")
        return Outcome(correct & (torch.arange(len(images)) % max(int(images.y.sum()) % 5, 2) > 0))


ATTACKS = (
    FGSMAttack(0.1), PGDAttack(0.1, steps=2, restarts=2), PGDAttack(0.1, 2, targets="random"), OfItsBatch(),
    SPSAAttack(0.1, steps=2, directions=4, alpha=0.05), RaySAttack(0.1, queries=40),
)  # fmt: skip


def classifier(power=1.0):
    """The nearest of the classes' mean images: right on most, and attacked with some success."""
    images = load_dataset("digits").train
    x = (images.images / 255.0).flatten(1)
    means = torch.stack([x[images.labels == digit].mean(0) for digit in range(10)]) ** power
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.copy_(means)
        model[1].bias.copy_(-0.5 * means.square().sum(1))
    return model


def figures(processes=None, count=50, batch_size=7):
    images = load_dataset("digits").test.take(count)
    given = {"batch_size": batch_size, "processes": processes}
    pair = {"one": classifier(), "two": classifier(0.5)}
    loader = DataLoader(TensorDataset(images.images, images.labels), batch_size=3)
    return json.loads(
        json.dumps(
            {
                "report": measure(classifier(), images, ATTACKS, **given).to_dict(),
                "sweep": sweep(classifier(), images, ATTACKS[:2], "eps", [0.0, 0.2], **given).to_dict(),
                "transfer": transfer_matrix(pair, images, ATTACKS[1], **given).to_dict(),
                "loader": measure(classifier(), loader, ATTACKS, **given).to_dict(),
                "detection": detection(images, **given),
            }
        )
    )


def detection(images, **given):
    model, objective = classifier(), ClassLogits()
    detectors = [Confidence(objective), KernelDensity(objective, 10.0)]
    fit_detectors(detectors, model, to_float(load_dataset("digits").train.take(200).images))
    adaptive = [AdaptiveAttack(detectors[1], 0.1, steps=3)]
    report, table = measure_with_detectors(model, images, ATTACKS[:3], detectors, adaptive=adaptive, **given)
    return [report.to_dict(), table.to_dict()]


def measuring(processes, folder):
    images, rank = load_dataset("digits").test.take(50), processes.rank
    failing = (OfItsBatch(fails=rank == 1),)
    shuffled = ImageSet(images.images.roll(rank, 0), images.labels.roll(rank), 10)
    parts = DistributedSampler(TensorDataset(images.images, images.labels), 3, rank)
    loader = DataLoader(parts.dataset, batch_size=10, sampler=parts)
    given = {"batch_size": 7, "processes": processes}
    return {
        "figures": figures(processes),
        "fewer images than processes": figures(processes, count=2),
        "one batch": figures(processes, batch_size=50),
        "failing": error_of(measure, classifier(), images, failing, **given),
        "shuffled": error_of(measure, classifier(), shuffled, **given),
        "parts": error_of(measure, classifier(), loader, **given),
        "fewer": error_of(measure, classifier(), images.take(50 - 20 * (rank == 2)), **given),
        "command": printed("evaluate", str(folder / "one"), "--steps", "2", "--batch-size", "16", "--json", "--plots",
                           str(folder / f"plots of {rank}"), "--sweep-eps", "0", "0.1"),
        "pictures": sorted(path.name for path in (folder / f"plots of {rank}").glob("*")),
    }  # fmt: skip


def printed(*arguments):
    with redirect_stdout(io.StringIO()) as out:
        assert command(arguments) == 0
    return out.getvalue()


# Batches of each process's own


class Sized:
    """A DataLoader's order of its own: so many images in each mini-batch, in an order that the epoch decides."""

    def __init__(self, sizes):
        self.sizes, self.epoch = sizes, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.sizes)

    def __iter__(self):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        for size in self.sizes:
            yield order[:size]
            order = order[size:]


#: images of each process in each mini-batch
SIZES = ((4, 1), (3, 5), (2, 2))
#: for batch norm, which wants two or more
LARGER = ((4, 2), (3, 5), (2, 6))


def joint_batches(epoch):
    """What the three load together, as one process would."""
    x, y = parts_of_all()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(epoch))
    for step in range(2):
        own = [order[sum(sizes[:step]) : sum(sizes[: step + 1])] for sizes in SIZES]
        yield (
            torch.cat([x[24 * rank + index] for rank, index in enumerate(own)]),
            torch.cat([y[24 * rank + index] for rank, index in enumerate(own)]),
        )


def parts_of_all():
    images = load_dataset("digits").train.take(72)
    return images.images, images.labels


class OneLoader:
    """The joint mini-batches of two epochs, for one process."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 2

    def __iter__(self):
        return joint_batches(self.epoch)


def natural_trainer(batches, folder=None, model=None, **options):
    model = network() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Trainer(model, Natural(model), batches, optimizer, epochs=2, folder=folder, **options)


class Unfreezing(Event):
    """A first layer that is frozen until the second weight step."""

    def on_start(self, trainer):
        trainer.model[0].requires_grad_(False)

    def on_step(self, trainer, metrics):
        trainer.model[0].requires_grad_(True)


def batch_norm_trainer(batches, rank, folder=None, **options):
    """YOPO on a first layer with batch norm; each process draws its own starts."""
    torch.manual_seed(3)
    model = batch_norm_net.BatchNormNet(1, 10)
    generator = JointGenerator().manual_seed(rank)
    yopo = yopo_ext.YOPO(model, model.first_layer, m=2, n=2, eps=0.1, alpha=0.03, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Trainer(model, yopo, batches, optimizer, epochs=2, folder=folder, **options)


def own_batch_norm(processes, folder):
    """All that the network ends with."""
    loader = DataLoader(part_of(processes.rank), batch_sampler=Sized(LARGER[processes.rank]))
    trainer = batch_norm_trainer(loader, processes.rank, folder / "own batch norm", processes=processes)
    trainer.fit()
    return {name: value.tolist() for name, value in trainer.model.state_dict().items()}


def part_of(rank):
    """The images that a process loads."""
    x, y = parts_of_all()
    return TensorDataset(x[24 * rank : 24 * (rank + 1)], y[24 * rank : 24 * (rank + 1)])


def own_batches(processes, folder):
    x, y = parts_of_all()
    rank = processes.rank
    own = part_of(rank)
    together = {"processes": processes}
    trainer = natural_trainer(DataLoader(own, batch_sampler=Sized(SIZES[rank])), folder / "own", **together)
    trainer.fit()
    unfreezing = natural_trainer(DataLoader(own, batch_sampler=Sized(SIZES[rank])), events=[Unfreezing()], **together)
    unfreezing.fit()
    everything = TensorDataset(x, y)
    sampled = DistributedSampler(everything, 3, rank, seed=1)
    seen = []
    natural_trainer(DataLoader(everything, 6, sampler=sampled, collate_fn=seen_by(seen)), **together).fit()
    ddp = DistributedDataParallel(network())
    return {
        "weights": trainer.model[-1].weight.flatten()[:20].tolist(),
        "log": [line["loss"] for line in trainer.log],
        "unfrozen": unfreezing.model[0].weight.flatten().tolist(),
        "seen": seen,
        "unequal": error_of(natural_trainer, DataLoader(own, batch_size=2 + rank), **together),
        "same": error_of(natural_trainer(DataLoader(everything, batch_size=6), **together).fit),
        "no length": error_of(natural_trainer, DataLoader(Stream()), **together),
        "ddp": error_of(natural_trainer, DataLoader(own), model=ddp, **together),
    }


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


def seen_by(seen):
    def collate(items):
        seen.append([int(x.sum()) for x, _ in items])
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    return collate


# Going on on another number


def going_on(processes, folder):
    found, states = {}, {}
    for name in sorted(path.name for path in folder.glob("resumed by three *")):
        run = Run(read_run(folder / name / "config.json"), folder / name, processes=processes, show=False)
        run.resume()
        run.fit()
        found[name] = [line.get("resumed") for line in run.trainer.log]
        states[name] = checksum(torch.cat([one.flatten().float() for one in run.trainer.model.state_dict().values()]))
    return {"going on": found, "states": states}


def main(folder):
    torch.set_num_threads(1)
    with started_processes("cpu") as (processes, _):
        found = {
            "gradients": gradients(processes),
            "joint batch norm": joint_batch_norm(),
            "ddp": under_ddp(processes),
            "measuring": measuring(processes, folder),
            "own batches": own_batches(processes, folder),
            "own batch norm": own_batch_norm(processes, folder),
            **going_on(processes, folder),
        }
        (folder / f"found-{processes.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
