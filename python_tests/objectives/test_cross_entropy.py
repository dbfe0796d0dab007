# SPDX-License-Identifier: MIT

import pickle
from functools import partial

import pytest
import torch

from yopo_ext.objectives import CrossEntropy, cross_entropy


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


def literal_zipf(z, label, share):
    """The target of one image: the wrong classes in the order of the logits, 1, 1/2, 1/3, ... of the share."""
    others = sorted((k for k in range(len(z)) if k != label), key=lambda k: -z[k])
    total = sum(1 / rank for rank in range(1, len(z)))
    target = [0.0] * len(z)
    target[label] = 1 - share
    for rank, k in enumerate(others, 1):
        target[k] = share / rank / total
    return torch.tensor(target, dtype=torch.float64)


@pytest.mark.parametrize("classes", [2, 5])
def test_zipf_smoothing_gives_likelier_wrong_classes_more(classes):
    logits = torch.randn(7, classes, dtype=torch.float64, requires_grad=True)
    y = torch.arange(7) % classes
    targets = torch.stack([literal_zipf(z.tolist(), int(label), 0.3) for z, label in zip(logits, y, strict=True)])
    loss = cross_entropy(logits, y, label_smoothing=0.3, smoothing_kind="zipf")
    torch.testing.assert_close(loss, -(targets * logits.log_softmax(1)).sum(1).mean())
    (g,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(g, (logits.softmax(1) - targets).detach() / 7)
    soft = torch.rand(7, classes, dtype=torch.float64).softmax(1)
    every = [
        torch.stack([literal_zipf(z.tolist(), k, 0.3) for k in range(classes)]).T @ share
        for z, share in zip(logits, soft, strict=True)
    ]
    found = CrossEntropy(0.3, "zipf").train(logits, soft)
    torch.testing.assert_close(found, -(torch.stack(every) * logits.log_softmax(1)).sum(1).mean())
    assert torch.equal(cross_entropy(logits, y, smoothing_kind="zipf"), cross_entropy(logits, y))


def test_zipf_smoothing_that_cannot_be():
    with pytest.raises(ValueError, match="smoothing_kind: got 'zip', expected one of uniform, zipf"):
        cross_entropy(torch.ones(2, 3), torch.zeros(2).long(), smoothing_kind="zip")
    with pytest.raises(ValueError, match=r"logits: got shape \(2, 3, 4\) with zipf smoothing"):
        cross_entropy(torch.ones(2, 3, 4), torch.zeros(2, 4).long(), label_smoothing=0.1, smoothing_kind="zipf")


def test_half_precision_is_computed_in_float32():
    logits = torch.tensor([[100.0, 99.9]], dtype=torch.bfloat16)
    y = torch.tensor([1])
    loss = cross_entropy(logits, y)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, cross_entropy(logits.float(), y))
