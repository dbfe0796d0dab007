# SPDX-License-Identifier: MIT
"""Mistakes that a type checker must find: where it misses one, it complains of an unused "type: ignore"."""

import torch
from torch import Tensor

import yopo_ext
from yopo_ext.adversaries import PGD
from yopo_ext.data import ImageSet
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.models import SmallCNN
from yopo_ext.training import Trainer, make_config

model, x, y = SmallCNN(), torch.rand(8, 1, 28, 28), torch.zeros(8, dtype=torch.int64)

yopo_ext.inner_ascent(x, x, x, x, eps=0.1, alpha=0.01)  # type: ignore[call-arg]  # no steps
yopo_ext.inner_ascent(x, x, x, x, eps="8/255", alpha=0.01, steps=3)  # type: ignore[arg-type]
yopo_ext.FirstLayer("conv1")  # type: ignore[arg-type]
yopo_ext.YOPO(model, model.first_layer, steps=3)  # type: ignore[call-arg]  # they are n
yopo_ext.YOPO(model, model.first_layer).accumulate(x)  # type: ignore[call-arg]  # no targets
yopo_ext.Ball(0.3, 0.01, norm=2)  # type: ignore[arg-type]
yopo_ext.inner_acsent(x, x, x, x, eps=0.1, alpha=0.01, steps=3)  # type: ignore[attr-defined]
PGD(model, 0.3, steps=3)  # type: ignore[arg-type]  # no Ball
PGDAttack(0.3, step=40)  # type: ignore[call-arg]
measure(model, ImageSet(x, y, 10), PGDAttack(0.3))  # type: ignore[arg-type]  # not a sequence
Trainer(model, model, [(x, y)], torch.optim.SGD(model.parameters(), lr=0.1), epochs=1)  # type: ignore[arg-type]
radius: Tensor = make_config().ball.eps  # type: ignore[assignment]
