# SPDX-License-Identifier: MIT
"""`Trainer` on a DataLoader and a network of your own: checkpoints, a curve, and a run that is taken up again.

python examples/trainer_dataloader.py
"""

from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import yopo_ext
from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.training import Trainer

EPS = 0.15
digits = load_dataset("digits")  # 8 × 8, part of scikit-learn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
        self.block = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.classify = nn.Sequential(nn.Flatten(), nn.Linear(512, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.block(self.relu(self.conv(x))))


def trainer(folder: str, epochs: int) -> Trainer:
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(to_float(digits.train.images), digits.train.labels), 64, shuffle=True)
    net = Net()
    yopo = yopo_ext.YOPO(net, (net.conv, net.relu), m=3, n=3, eps=EPS, alpha=0.05)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return Trainer(net, yopo, loader, optimizer, epochs=epochs, folder=folder)


with TemporaryDirectory() as folder:  # for a folder that stays: folder="runs/mine"
    trainer(folder, epochs=3).fit()
    resumed = trainer(folder, epochs=6)
    resumed.resume()
    resumed.fit()
    for record in resumed.log:
        print(f"epoch {record['epoch']}: {record['attacked_accuracy']:.1f} % right under attack")

loader = DataLoader(TensorDataset(to_float(digits.test.images), digits.test.labels), 128)
print(measure(resumed.model, loader, [PGDAttack(EPS, steps=20)]).to_table())
