# SPDX-License-Identifier: MIT
"""Makes a trained timm network robust: its first convolution, batch norm and ReLU are YOPO's first layer.

python examples/finetune_timm.py                # begins with a natural training: nothing is downloaded
python examples/finetune_timm.py --pretrained   # begins with timm's weights
"""

import sys

import torch
from torch import nn

import yopo_ext
from yopo_ext.adversaries import Adversary, Natural
from yopo_ext.data import load_dataset, to_float
from yopo_ext.evaluation import PGDAttack, measure
from yopo_ext.models import Normalize

try:
    import timm
except ImportError:
    sys.exit("this example needs timm: pip install timm")

EPS = 0.15
torch.manual_seed(0)
digits = load_dataset("digits")  # 8 × 8, part of scikit-learn; the network sees them at 16 × 16
enlarge = nn.Upsample(scale_factor=2)
images, labels = enlarge(to_float(digits.train.images)), digits.train.labels
test = enlarge(to_float(digits.test.images)), digits.test.labels

net = timm.create_model(
    "test_resnet", pretrained="--pretrained" in sys.argv, in_chans=1, num_classes=10
)  # timm's smallest
normalize = Normalize([images.mean().item()], [images.std().item()])
model = nn.Sequential(normalize, net)  # images stay in [0, 1], where eps is meant
first_layer = (normalize, *net.conv1[:3])  # of a resnet18: net.conv1, net.bn1, net.act1


def train(adversary: Adversary, epochs: int, lr: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            adversary.accumulate(images[batch], labels[batch])
            optimizer.step()
    model.eval()
    print(measure(model, test, [PGDAttack(EPS, steps=20)]).to_table())


print("natural")
train(Natural(model), epochs=4, lr=0.1)
print("\nfine-tuned by YOPO")
train(yopo_ext.YOPO(model, first_layer, m=3, n=3, eps=EPS, alpha=0.05), epochs=6, lr=0.05)
