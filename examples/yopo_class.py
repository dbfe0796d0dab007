# SPDX-License-Identifier: MIT
"""`YOPO` makes the passes and the steps of a mini-batch; optimiser, schedule and clipping stay yours.

python examples/yopo_class.py
"""

import torch

import yopo_ext
from yopo_ext.data import DeviceLoader, load_dataset
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.models import DigitsCNN

EPS, EPOCHS = 0.15, 8

torch.manual_seed(0)
digits = load_dataset("digits")  # 8 × 8, part of scikit-learn
batches = DeviceLoader(digits.train, 64)

model = DigitsCNN()
yopo = yopo_ext.YOPO(model, model.first_layer, m=3, n=3, eps=EPS, alpha=0.05)
print(f"{yopo.explain(torch.zeros(64, 1, 8, 8))}\n")

optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))

for epoch in range(EPOCHS):
    right = seen = 0
    for x, y in batches:
        optimizer.zero_grad()
        metrics = yopo.accumulate(x, y)  # calls backward() itself
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        right, seen = right + int(metrics["correct"]), seen + int(metrics["count"])
    print(f"epoch {epoch + 1}: {100 * right / seen:.1f} % right under attack")

model.eval()
print(measure(model, digits.test, [PGDAttack(EPS, steps=20)]).to_table())
