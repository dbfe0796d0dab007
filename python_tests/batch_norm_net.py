# SPDX-License-Identifier: MIT
"""A small network with batch norm for the digits, known by name once this is imported."""

from torch import nn

from yopo_ext.models import MODELS, Network

NAME = "batch-norm-net"


class BatchNormNet(nn.Module):
    """conv, batch norm, ReLU (the first layer), then conv, batch norm, a linear layer."""

    def __init__(self, in_channels, num_classes, *, activation="relu", mean=None, std=None):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8)
        self.linear = nn.Linear(72, num_classes)

    @property
    def first_layer(self):
        return self.conv1, self.bn1, self.relu1

    def forward(self, x):
        return self.tail(self.relu1(self.bn1(self.conv1(x))))

    def tail(self, x):
        return self.linear(self.bn2(self.conv2(x)).relu().flatten(1))


MODELS.add(Network(NAME, BatchNormNet, "two batch norms, for tests", image_size=8))
