# SPDX-License-Identifier: MIT
"""Small images first in a loop of one's own: any bounds, dtype, network and loader."""

import pytest
import torch
from growing_runs import spied
from torch import nn
from torch.utils.data import DataLoader

from yopo_ext.adversaries import FGSM
from yopo_ext.ball import Ball
from yopo_ext.training import Event, Trainer
from yopo_ext.training.events.progressive_resizing import ProgressiveResizing


def test_anybodys_trainer_takes_it(tmp_path):
    """Images in other bounds, a network that nobody knows by name; the loader may not know where it stands."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    pairs = [(torch.rand(3, 10, 10) * 4 - 2, index % 2) for index in range(12)]
    adversary = FGSM(model, Ball(0.1, 0.1, bounds=(-2.0, 2.0)))
    trainer = Trainer(
        model, adversary, DataLoader(pairs, 4), torch.optim.SGD(model.parameters(), 0.1), epochs=3,
        events=[ProgressiveResizing((5,), (2,))], amp="off",
    )  # fmt: skip
    met = spied(trainer)
    trainer.fit()
    assert [x.shape[-1] for x in met] == [5] * 6 + [10] * 3
    assert trainer.log[0]["units"] == pytest.approx(trainer.log[2]["units"] / 4, rel=0.02)


@pytest.mark.parametrize(
    ("sizes", "epochs", "text"),
    [
        ((), (), "sizes: got none, expected one or several"),
        ((4, 4), (1, 1), "sizes: got 4 4, expected one or several, each above the one before"),
        ((4,), (1, 1), "epochs: got 1 1 for the sizes 4"),
        ((0,), (1,), "sizes: got 0, expected at least 1"),
        ((4,), (0,), "epochs: got 0, expected at least 1"),
        (16, (5,), r"sizes: got 16, expected several whole numbers, as \(16, 24\)"),
        ((16,), "5", "epochs: got '5', expected several whole numbers"),
        (("4", "16"), (1, 1), "sizes: got '4', expected an int"),
        (iter((4, 6)), (1, 1), "sizes: got <tuple_iterator"),
    ],
)
def test_wrong_sizes_in_python(sizes, epochs, text):
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        ProgressiveResizing(sizes, epochs)


def conv_net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).to(dtype)  # fmt: skip


def trained(model, events, *, epochs=3, size=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.rand(4, 1, size, size, generator=generator).to(dtype), torch.tensor([0, 1, 0, 1]))] * 3
    trainer = Trainer(
        model, FGSM(model, Ball(0.1, 0.1), random_start=False), batches, torch.optim.SGD(model.parameters(), 0.1),
        epochs=epochs, events=events, amp="off",
    )  # fmt: skip
    trainer.fit()
    return trainer


def test_a_run_that_would_end_on_small_images_does_not_begin():
    with pytest.raises(ValueError, match=r"^epochs: got 2, 2 in all, expected an end before the 2 epochs do"):
        trained(conv_net(), [ProgressiveResizing((4,), (2,))], epochs=2)


def test_units_in_double_precision():
    log = trained(conv_net(torch.float64), [ProgressiveResizing((4,), (1,))], dtype=torch.float64).log
    assert log[0]["units"] == pytest.approx(log[2]["units"] / 4, rel=0.05)


class ForOneSize(nn.Module):
    """As vision transformers, which assert the size that they were made for."""

    def __init__(self):
        super().__init__()
        self.net = conv_net()

    def forward(self, x):
        assert x.shape[-1] == 8 or self.training, "made for 8"
        return self.net(x)


def test_what_cannot_be_counted_is_left_out():
    assert all("units" not in record for record in trained(ForOneSize(), [ProgressiveResizing((4,), (1,))]).log[:1])


class Noise(Event):
    """Changes the images by what torch's global generator draws."""

    name = "noise"

    def __init__(self):
        self.seen = []

    def prepare(self, trainer, x):
        self.seen.append(len(x))
        return (x + 0.01 * torch.rand(x.shape)).clamp(0, 1)


def test_a_rehearsal_prepares_nothing_anew():
    losses, seen = [], []
    for on_copies in (False, True):
        noise, model = Noise(), conv_net()
        torch.manual_seed(1)
        generator = torch.Generator().manual_seed(0)
        batches = [(torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 2)] * 3
        trainer = Trainer(
            model, FGSM(model, Ball(0.1, 0.1), random_start=False), batches, torch.optim.SGD(model.parameters(), 0.1),
            epochs=2, events=[noise], amp="off",
        )  # fmt: skip
        trainer.units.on_copies = on_copies
        trainer.fit()
        losses.append([(record["loss"], record["units"]) for record in trainer.log])
        seen.append(noise.seen)
    assert losses[0] == losses[1]
    assert seen[0] == seen[1] == [12] * 6
