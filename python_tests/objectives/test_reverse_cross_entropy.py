# SPDX-License-Identifier: MIT

import pytest
import torch
from torch.nn.functional import one_hot, softmax

from yopo_ext.objectives import ReverseCrossEntropy, reverse_cross_entropy

Y = torch.tensor([0, 1, 2, 3, 0])


def logits(scale=1.0):
    return scale * torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_formula_written_out():
    z, total = logits(), 0.0
    for row, label in zip(z, Y, strict=True):
        f = row.exp() / row.exp().sum()
        total += sum(-f[j].log() / 3 for j in range(4) if j != label)
    torch.testing.assert_close(reverse_cross_entropy(z, Y), total / 5)


def test_it_is_the_cross_entropy_to_the_reverse_label():
    reverse = (1 - one_hot(Y, 4)) / 3
    expected = torch.nn.functional.cross_entropy(logits(), reverse.double())
    torch.testing.assert_close(reverse_cross_entropy(logits(), Y), expected)


def test_probabilities_weigh_the_losses_of_the_classes():
    share = torch.tensor(0.3, dtype=torch.float64)
    soft = share * one_hot(Y, 4) + (1 - share) * one_hot((Y + 1) % 4, 4)
    expected = share * reverse_cross_entropy(logits(), Y) + (1 - share) * reverse_cross_entropy(logits(), (Y + 1) % 4)
    torch.testing.assert_close(reverse_cross_entropy(logits(), soft), expected)


def test_descending_it_makes_the_smallest_output_the_label_and_the_others_alike():
    z = (0.1 * logits()).requires_grad_()
    objective, optimizer = ReverseCrossEntropy(), torch.optim.Adam([z], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        objective.train(z, Y).backward()
        optimizer.step()
    assert objective.predict(z).tolist() == Y.tolist()
    probabilities = softmax(objective.logits(z.detach()), 1)
    assert torch.equal(probabilities.argmax(1), Y)
    assert probabilities.gather(1, Y[:, None]).min() > 0.99
    # The bound of the paper's theorem 2 on the wrong ones, alpha the training error.
    alpha = (softmax(z.detach(), 1) - (1 - one_hot(Y, 4)) / 3).abs().max()
    wrong = probabilities[one_hot(Y, 4) == 0].reshape(5, 3)
    assert (wrong.amax(1) - wrong.amin(1)).max() <= 2 * alpha**2 * 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_nan_from_the_logarithm_of_zero(dtype):
    z = logits(2e4).to(dtype).requires_grad_()
    reverse_cross_entropy(z, Y).backward()
    assert z.grad.isfinite().all()


def test_a_single_output_is_refused():
    with pytest.raises(ValueError, match="at least 2 classes"):
        reverse_cross_entropy(torch.zeros(5, 1), Y)
