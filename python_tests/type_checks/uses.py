# SPDX-License-Identifier: MIT
"""A user's program over the public interface, for the type checker alone: it finds the types that are asserted here."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import assert_type

import yopo_ext
from yopo_ext.adversaries import FGSM, PGD, TRADES, Adversary, Free, Natural, pgd, random_start
from yopo_ext.data import Dataset, DeviceLoader, ImageSet, load_dataset
from yopo_ext.evaluation import Attack, FGSMAttack, PGDAttack, Report, Sweep, accuracy, measure, sweep
from yopo_ext.models import DigitsCNN, ResNet18, SmallCNN, build_model, load_weights
from yopo_ext.objectives import BinaryCrossEntropy, Objective, Trades, cross_entropy
from yopo_ext.training import Config, Run, Trainer, make_config


def operators(x: Tensor, eta: Tensor, p: Tensor, conv: nn.Conv2d) -> Tensor:
    eps = torch.tensor([0.1, 0.2, 0.3])
    eta = yopo_ext.inner_ascent(
        x, eta, p, conv.weight, conv.bias, eps=eps, alpha=(0.01, 0.02, 0.03), steps=3, activation=nn.ReLU()
    )
    assert_type(eta, Tensor)
    assert_type(yopo_ext.hamiltonian(x, p, conv.weight), Tensor)
    assert_type(yopo_ext.explain(x, eta, p, conv.weight, eps=0.1, alpha=0.01, steps=3).backend, str)
    return eta


def own_loop(model: SmallCNN, x: Tensor, y: Tensor) -> None:
    layer = yopo_ext.FirstLayer(model.first_layer)
    eta = random_start(x, eps=0.3)
    with yopo_ext.capture_costate(layer) as costate:
        nn.functional.cross_entropy(model(x + eta), y).backward()
    assert_type(costate.value, Tensor)
    assert_type(layer.inner_ascent(x, eta, costate.value, eps=0.3, alpha=0.01, steps=5), Tensor)
    assert_type(layer.hamiltonian(x + eta, costate.value), Tensor)
    assert_type(yopo_ext.maximum_principle(model, x, y, eta=eta).layers[0].state, float | None)
    with yopo_ext.perturb_output(model.first_layer[-1], torch.zeros(1)):
        model(x)


def adversaries(model: DigitsCNN) -> list[Adversary]:
    ball = yopo_ext.Ball(0.1, 0.02)
    return [
        yopo_ext.YOPO(model, model.first_layer, m=5, n=3, loss=cross_entropy),
        yopo_ext.YOPO(model, yopo_ext.FirstLayer(model.first_layer), loss=BinaryCrossEntropy()),
        PGD(model, ball, steps=10, loss=lambda logits, y: nn.functional.cross_entropy(logits, y)),
        TRADES(model, ball, steps=10, loss=Trades(beta=6.0)),
        FGSM(model, ball),
        Free(model, ball, m=8),
        Natural(model),
    ]


def training(model: nn.Module, adversary: Adversary, images: ImageSet) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(images.images, images.labels), batch_size=64)
    trainer = Trainer(model, adversary, loader, optimizer, epochs=2, schedule=lambda done: 0.1, folder="run")
    trainer.fit()
    Trainer(model, adversary, DeviceLoader(images, 64), optimizer, epochs=2).fit()
    metrics = adversary.accumulate(images.images, images.labels)
    assert_type(metrics["loss"], Tensor)


def settings() -> None:
    config = make_config("mnist-yopo-5-10", epochs=2)
    assert_type(config, Config)
    assert_type(config.loop.epochs, int)
    assert_type(config.method_name, str)
    Run(config, Path("run"), load_dataset("digits"), show=False).fit()


def measuring(images: ImageSet) -> None:
    assert_type(load_dataset("digits"), Dataset)
    model = build_model("digits-cnn", in_channels=1, num_classes=10)
    load_weights(ResNet18(), Path("weights.pt"))
    attacks: list[Attack] = [FGSMAttack(0.1), PGDAttack(0.1, steps=10, loss="dlr", targets="next")]
    objective: Objective = BinaryCrossEntropy()
    report = measure(model, images, attacks, objective=objective)
    assert_type(report, Report)
    assert_type(report.robust, dict[str, float])
    assert_type(sweep(model, (images.images, images.labels), attacks, "eps", [0.1, 0.2]), Sweep)
    assert_type(accuracy(model, images), float)
    assert_type(pgd(model, images.images, images.labels, eps=0.1, alpha=0.02, steps=5), Tensor)
