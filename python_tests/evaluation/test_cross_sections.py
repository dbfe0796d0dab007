# SPDX-License-Identifier: MIT

import io
import json

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from yopo_ext.cli import main
from yopo_ext.evaluation import PGDAttack, RaySAttack, cross_section, plot_cross_section
from yopo_ext.models import build_model


@pytest.fixture
def half_planes():
    """A linear network of two classes, images at known margins, and its weight w: right where w · x > 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False)).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(16, generator=generator)
    net[1].weight.copy_(torch.stack([w, -w]))
    x = 0.4 + 0.2 * torch.rand(9, 1, 4, 4, generator=generator)
    return net, x, net(x).argmax(1), w


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_boundary_lies_where_a_linear_network_has_it(half_planes, norm):
    net, x, y, w = half_planes
    eps = 0.1
    found = cross_section(net, (x, y), PGDAttack(eps, norm=norm, random_start=False), count=9, span=3.0, points=25)
    assert found.classes.shape == (9, 25, 25)
    assert found.scale[12] == 0
    assert (float(found.scale[0]), float(found.scale[-1])) == (-3, 3)
    # Along the attack's own direction the margin falls by eps · ‖w‖ of the dual norm for each unit.
    slope = eps * (w.abs().sum() if norm == "linf" else w.norm())
    margin = (x.flatten(1) @ w).abs()
    right = found.classes == found.labels[:, None, None]
    for index in range(9):
        expected = margin[index] - found.scale * slope > 0
        clear = (margin[index] - found.scale * slope).abs() > 1e-3
        assert torch.equal(right[index, 12][clear], expected[clear])
    # A random direction crosses it far less steeply: some planes' rows along it are right throughout.
    assert right[:, :, 12].double().mean() > right[:, 12].double().mean()
    assert torch.equal(found.accuracy, 100 * right.double().mean(0))
    assert found.accuracy[12, 12] == 100
    assert json.loads(json.dumps(found.to_dict()))["images"] == 9


def test_directions_belong_to_the_image(half_planes):
    net, x, y, _ = half_planes
    attack = PGDAttack(0.1)
    whole = cross_section(net, (x, y), attack, count=9, points=9)
    part = cross_section(net, (x[4:], y[4:]), attack, count=2, points=9)
    assert torch.equal(part.classes, whole.classes[4:6])
    other = cross_section(net, (x, y), attack, count=9, points=9, seed=1)
    assert not torch.equal(other.classes, whole.classes)
    assert torch.equal(other.classes[:, 4], whole.classes[:, 4])


def test_what_is_refused(half_planes):
    net, x, y, _ = half_planes
    for change, message in (
        ({"count": 0}, "count: got 0, expected at least 1"),
        ({"points": 4}, "points: got 4, expected an odd number"),
        ({"span": float("nan")}, "span: got nan, expected a finite number above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            cross_section(net, (x, y), PGDAttack(0.1), **change)
    for still in (PGDAttack(0.0), RaySAttack(1e-6, queries=5)):
        with pytest.raises(ValueError, match=f"{still.label}: moved none of 9 images"):
            cross_section(net, (x, y), still)


def test_the_picture_has_both_colours_of_the_accuracy(half_planes):
    net, x, y, _ = half_planes
    target = io.BytesIO()
    plot_cross_section(
        cross_section(net, (x, y), PGDAttack(0.3), count=9, span=6.0, points=15), target, title="title"
    )  # fmt: skip
    picture = imread(io.BytesIO(target.getvalue()))[..., :3] * 255
    for colour in ((68, 1, 84), (253, 231, 37)):
        assert (np.abs(picture - np.array(colour)) <= 2).all(-1).mean() > 0.01


def test_from_the_command_line(tmp_path, capsys):
    torch.manual_seed(0)
    torch.save(build_model("digits-cnn", in_channels=1, num_classes=10).state_dict(), tmp_path / "w.pt")
    given = ["evaluate", "--weights", str(tmp_path / "w.pt"), "--model", "digits-cnn", "--dataset", "digits"]
    given += ["--limit", "40", "--device", "cpu", "--eps", "0.3", "--losses", "ce", "--steps", "2", "--json"]
    plots = ["--plots", str(tmp_path / "p")]
    assert main([*given, *plots, "--cross-section", "3"]) == 0
    found = json.loads(capsys.readouterr().out)["cross_section"]
    assert found["images"] == 3
    assert np.array(found["accuracy"]).shape == (41, 41)
    assert (tmp_path / "p" / "cross-section.png").stat().st_size > 1000
    for wrong, message in (
        ([*given, "--cross-section", "3"], "cross_section: goes with an attack and a folder of plots"),
        ([*given, *plots, "--cross-section", "0"], "cross_section: got 0, expected at least 1"),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err
