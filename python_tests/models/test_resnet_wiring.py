# SPDX-License-Identifier: MIT
"""ResNets compute what their papers say: beside the plainest code that reads the same state dict."""

import pytest
import torch
from torch.nn import functional as F

from yopo_ext.models import ResNet18, ResNet50


def conv_bn(state, x, conv, bn, stride=1):
    weight = state[f"{conv}.weight"]
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    statistics = (state[f"{bn}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *statistics)


def block(state, x, name, stride):
    """He et al. 2016, figures 2 and 5; the stride is in the first 3×3 convolution."""
    bottleneck = f"{name}.conv3.weight" in state
    strides = (1, stride, 1) if bottleneck else (stride, 1)
    out = x
    for index, own in enumerate(strides, start=1):
        out = conv_bn(state, out, f"{name}.conv{index}", f"{name}.bn{index}", own)
        out = out.relu() if index < len(strides) else out
    if f"{name}.shortcut.0.weight" in state:
        x = conv_bn(state, x, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)
    return (out + x).relu()


def reference(state, x):
    x = conv_bn(state, x, "conv1", "bn1").relu()
    for stage in range(1, 5):
        index = 0
        while f"layer{stage}.{index}.conv1.weight" in state:
            x = block(state, x, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1)
            index += 1
    return F.linear(x.mean((2, 3)), state["linear.weight"], state["linear.bias"])


@pytest.mark.parametrize("build", [ResNet18, ResNet50])
def test_it_is_the_published_network(build):
    torch.manual_seed(0)
    model = build().double().eval()
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(std=0.3)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(state, x))
        assert model(x).abs().max() > 1e-3
