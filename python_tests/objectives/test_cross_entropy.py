# SPDX-License-Identifier: MIT

import pickle
from functools import partial

import pytest
import torch

from yopo_ext.objectives import cross_entropy


def test_it_is_the_mean_of_minus_log_probability():
    logits = torch.randn(4, 3, dtype=torch.float64)
    y = torch.tensor([0, 2, 1, 1])
    expected = -logits.log_softmax(1)[torch.arange(4), y].mean()
    torch.testing.assert_close(cross_entropy(logits, y), expected)
    torch.testing.assert_close(cross_entropy(logits, torch.eye(3, dtype=torch.float64)[y]), expected)


def test_label_smoothing_spreads_the_target():
    logits = torch.randn(4, 3, dtype=torch.float64)
    y = torch.tensor([0, 2, 1, 1])
    target = 0.7 * torch.eye(3, dtype=torch.float64)[y] + 0.1
    smooth = pickle.loads(pickle.dumps(partial(cross_entropy, label_smoothing=0.3)))
    torch.testing.assert_close(smooth(logits, y), -(target * logits.log_softmax(1)).sum(1).mean())
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy(logits, y, label_smoothing=1.5)


def test_half_precision_is_computed_in_float32():
    logits = torch.tensor([[100.0, 99.9]], dtype=torch.bfloat16)
    y = torch.tensor([1])
    loss = cross_entropy(logits, y)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, cross_entropy(logits.float(), y))
