# SPDX-License-Identifier: MIT

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from yopo_ext.objectives import trades


def logits(seed, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(5, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)


Y = torch.tensor([0, 1, 2, 3, 0])


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_the_published_sum(beta):
    clean, adversarial = logits(0), logits(1)
    robust = kl_div(log_softmax(adversarial, 1), softmax(clean, 1), reduction="sum") / 5
    expected = cross_entropy(clean, Y) + beta * robust
    torch.testing.assert_close(trades(clean, adversarial, Y, beta=beta), expected)


def test_smoothing_reaches_the_clean_term():
    clean = logits(0)
    expected = cross_entropy(clean, Y, label_smoothing=0.2)
    torch.testing.assert_close(trades(clean, clean, Y, label_smoothing=0.2), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_nan_from_the_logarithm_of_zero(dtype):
    clean = logits(0, 2e4, torch.float32).to(dtype).requires_grad_()
    adversarial = logits(1, 2e4, torch.float32).to(dtype).requires_grad_()
    loss = trades(clean, adversarial, Y)
    loss.backward()
    assert loss.isfinite()
    assert clean.grad.isfinite().all()
    assert adversarial.grad.isfinite().all()


def test_gradients_reach_both_sides():
    clean, adversarial = logits(0).requires_grad_(), logits(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: trades(a, b, Y, beta=3.0), (clean, adversarial))


@pytest.mark.parametrize("beta", [-1.0, float("nan")])
def test_beta_out_of_range(beta):
    with pytest.raises(ValueError, match="beta: got"):
        trades(logits(0), logits(1), Y, beta=beta)
