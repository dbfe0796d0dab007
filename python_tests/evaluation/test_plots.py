# SPDX-License-Identifier: MIT

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from robustness import batch_of

from yopo_ext.data import ImageSet, to_float
from yopo_ext.evaluation import (
    Examples,
    PGDAttack,
    Sweep,
    SweepTable,
    TransferMatrix,
    adversarial_examples,
    outcomes,
    plot_examples,
    plot_sweep,
    plot_sweeps,
    plot_transfer,
)
from yopo_ext.evaluation.plots import _eps_units


def drawn(plot, figure):
    """The picture (height, width, 4) that a function draws."""
    target = io.BytesIO()
    plot(figure, target, title="title")
    content = target.getvalue()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return imread(io.BytesIO(content))


def share(picture, colour):
    """How much of the picture has a colour (red, green, blue), up to rounding."""
    return (np.abs(picture[..., :3] * 255 - np.array(colour)) <= 2).all(-1).mean()


def centre(picture, colour):
    """Mean row and column of a colour."""
    rows, columns = (np.abs(picture[..., :3] * 255 - np.array(colour)) <= 2).all(-1).nonzero()
    return rows.mean(), columns.mean()


def test_a_sweep_has_a_line_for_each_curve():
    one = Sweep("steps", (1.0, 5.0, 50.0), 90.0, {"PGD, ce": (80.0, 40.0, 30.0)}, 100)
    two = Sweep("steps", one.values, 90.0, {**one.curves, "PGD, dlr": (70.0, 60.0, 20.0)}, 100)
    blue, orange = (31, 119, 180), (255, 127, 14)
    pictures = [drawn(plot_sweep, sweep) for sweep in (one, two)]
    assert all(share(picture, blue) > 1e-3 for picture in pictures)
    assert share(pictures[0], orange) == 0
    assert share(pictures[1], orange) > 1e-3


def test_sweeps_have_a_colour_for_each_network():
    one = Sweep("eps", (0.0, 0.1), 90.0, {"PGD, ce": (90.0, 40.0), "PGD, dlr": (90.0, 30.0)}, 100)
    two = Sweep("eps", one.values, 80.0, {"PGD, ce": (80.0, 70.0), "PGD, dlr": (80.0, 60.0)}, 100)
    table = SweepTable({"first": one, "second": two})
    assert list(table.curves) == [f"{name}, PGD, {loss}" for name in ("first", "second") for loss in ("ce", "dlr")]
    picture = drawn(plot_sweeps, table)
    assert all(share(picture, colour) > 1e-3 for colour in ((31, 119, 180), (255, 127, 14)))
    assert share(picture, (44, 160, 44)) == 0
    with pytest.raises(ValueError, match="sweeps: got 2 kinds, expected one"):
        SweepTable({"first": one, "third": Sweep("eps", (0.0, 0.2), 90.0, one.curves, 100)})
    with pytest.raises(ValueError, match="sweeps: got 0 kinds"):
        SweepTable({})


def test_eps_is_in_255ths_where_people_write_it_so():
    assert _eps_units([0.0, 8 / 255, 16 / 255]) == ("eps · 255", pytest.approx([0, 8, 16]))
    assert _eps_units([0.1, 0.3]) == ("eps", [0.1, 0.3])


def test_a_heat_map_shows_the_matrix():
    names = ("a", "b")
    low, high = (68, 1, 84), (253, 231, 37)  # both ends of the colour map
    dark = TransferMatrix(names, (100.0, 100.0), ((0.0, 0.0), (0.0, 0.0)), PGDAttack(0.1), 10)
    half = TransferMatrix(names, (100.0, 100.0), ((0.0, 100.0), (100.0, 0.0)), PGDAttack(0.1), 10)
    assert share(drawn(plot_transfer, dark), high) < 0.02
    picture = drawn(plot_transfer, half)
    assert share(picture, low) > 0.1
    assert share(picture, high) == pytest.approx(share(picture, low), rel=0.2)
    # Row 0, column 1: the upper right.
    corner = TransferMatrix(names, (100.0, 100.0), ((0.0, 100.0), (0.0, 0.0)), PGDAttack(0.1), 10)
    picture = drawn(plot_transfer, corner)
    (up, right), (middle_row, middle_column) = (centre(picture, colour) for colour in (high, low))
    assert up < middle_row
    assert right > middle_column
    many = TransferMatrix(tuple(map(str, range(40))), (1.0,) * 40, ((50.0,) * 40,) * 40, PGDAttack(0.1), 10)
    assert drawn(plot_transfer, many).shape[0] > 2000


def test_examples_are_of_images_classified_correctly(model, images):
    attack = PGDAttack(0.15, steps=4)
    found = adversarial_examples(model.train(), images, attack, count=8)
    assert model.training
    index = outcomes(model, images).correct.nonzero().squeeze(1)[:8]
    part = images.select(index)
    assert torch.equal(found.clean, to_float(part.images))
    assert torch.equal(found.labels, part.labels)
    assert torch.equal(found.eta, attack.craft(model.eval(), batch_of(part)))
    with torch.no_grad():
        assert torch.equal(found.predicted, model(found.clean + found.eta).argmax(1))
    assert (found.predicted != found.labels).any()
    assert len(adversarial_examples(model, images, attack, count=500).labels) == outcomes(model, images).correct.sum()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_of_images(channels):
    clean = torch.zeros(3, channels, 4, 4)
    clean[:, 0] = 1.0
    eta = torch.zeros_like(clean)
    found = Examples(clean, eta, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), 0.1)
    picture = drawn(plot_examples, found)
    assert share(picture, (255, 255, 255) if channels == 1 else (255, 0, 0)) > 0.1
    # No perturbation is grey.
    assert share(picture, (127.5, 127.5, 127.5)) > 0.1
    eta[:, :, :2] = -0.1
    assert share(drawn(plot_examples, Examples(clean, eta, found.labels, found.predicted, 0.1)), (0, 0, 0)) > 0.05
    wrong = Examples(clean, eta, found.labels, torch.tensor([1, 1, 1]), 0.1)
    assert not np.array_equal(drawn(plot_examples, wrong), drawn(plot_examples, found))


def test_a_grid_of_nothing():
    """No image was classified correctly."""
    empty = ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([1, 1]), 2)

    class Wrong(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([1.0, 0.0]).expand(len(x), 2) + 0 * x.sum()

    found = adversarial_examples(Wrong(), empty, PGDAttack(0.1, steps=1))
    assert len(found.labels) == 0
    drawn(plot_examples, found)
