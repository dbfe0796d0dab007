# SPDX-License-Identifier: MIT
"""YOPO-3-3 in a loop of your own: catch p in the pass that you make anyway, then call `inner_ascent`.

python examples/own_loop.py
"""

import torch
from torch import nn

import yopo_ext
from yopo_ext.adversaries import random_start
from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import PGDAttack, measure

EPS, ALPHA = 0.15, 0.05  # of images in [0, 1]
M, N = 3, 3  # full passes a mini-batch, and cheap steps after each

torch.manual_seed(0)
digits = load_dataset("digits")  # 8 × 8, part of scikit-learn
images, labels = to_float(digits.train.images), digits.train.labels

conv, relu = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
rest = (nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10))
model = nn.Sequential(conv, relu, *rest)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

for epoch in range(6):
    for batch in torch.randperm(len(images)).split(64):
        x, y = images[batch], labels[batch]
        eta = random_start(x, eps=EPS)
        optimizer.zero_grad()
        for _ in range(M):
            with yopo_ext.capture_costate((conv, relu)) as costate:  # p: the loss gradient at their output
                loss = nn.functional.cross_entropy(model(x + eta), y)
                (loss / M).backward()
            eta = yopo_ext.inner_ascent(
                x, eta, costate.value, conv.weight, conv.bias, padding=1, activation="relu",
                eps=EPS, alpha=ALPHA, steps=N,
            )  # fmt: skip
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f} under attack")

print(measure(model, digits.test, [PGDAttack(EPS, steps=20)]).to_table())
