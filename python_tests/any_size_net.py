# SPDX-License-Identifier: MIT
"""A small network with batch norm that takes images of any size, known by name once this is imported."""

from torch import nn

from yopo_ext.models import MODELS, Network

NAME = "any-size-net"


class AnySizeNet(nn.Module):
    """conv, batch norm, ReLU (the first layer), then conv, batch norm, the mean over all pixels, a linear layer."""

    def __init__(self, in_channels, num_classes, *, activation="relu", mean=None, std=None):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.relu2, self.pool, self.flatten = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear = nn.Linear(8, num_classes)

    @property
    def first_layer(self):
        return self.conv1, self.bn1, self.relu1

    @property
    def layers(self):
        return self.first_layer, (self.conv2, self.bn2, self.relu2), (self.pool, self.flatten, self.linear)

    def forward(self, x):
        return self.tail(self.relu1(self.bn1(self.conv1(x))))

    def tail(self, x):
        return self.linear(self.flatten(self.pool(self.relu2(self.bn2(self.conv2(x))))))


MODELS.add(Network(NAME, AnySizeNet, "takes any size, for tests"))
