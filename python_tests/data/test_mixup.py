# SPDX-License-Identifier: MIT

import numpy as np
import pytest
import torch

from yopo_ext.data import Batch, DeviceLoader, ImageSet, MixedBatches
from yopo_ext.objectives.objective import NamedObjective
from yopo_ext.random_streams import derive_seed
from yopo_ext.training import make_config
from yopo_ext.training.config.check_mixup import check_mixup


def image_set(count=10):
    """Image i is i everywhere, of class i mod 4: a mixed one tells what it is made of."""
    pixels = torch.arange(count).to(torch.uint8).view(-1, 1, 1, 1).expand(count, 1, 2, 2).contiguous()
    return ImageSet(pixels, torch.arange(count) % 4, 4)


def mixed(alpha=0.5, seed=3, rows=None, size=5):
    loader = DeviceLoader(image_set(), size, seed=1, rows=rows)
    return MixedBatches(loader, alpha, num_classes=4, seed=seed)


def test_images_and_labels_are_mixed_by_one_share():
    plain, orders = DeviceLoader(image_set(), 5, seed=1), []
    for number, (batch, whole) in enumerate(zip(mixed(alpha=2.0), plain, strict=True)):
        share = np.random.default_rng([derive_seed(3, "mixup"), number]).beta(2.0, 2.0)
        assert (batch.index, batch.placement, batch.rows) == (None, None, (0, 5, 5))
        assert batch.x.dtype == batch.y.dtype == torch.float32
        others = ((batch.x - share * whole.x) / (1 - share))[:, 0, 0, 0] * 255
        partners = [whole.index.tolist().index(round(image)) for image in others.tolist()]
        assert sorted(partners) == list(range(5))
        orders.append(partners)
        torch.testing.assert_close(batch.x, share * whole.x + (1 - share) * whole.x[partners])
        targets = torch.nn.functional.one_hot(whole.y, 4).float()
        torch.testing.assert_close(batch.y, share * targets + (1 - share) * targets[partners])
    assert any(order != list(range(5)) for order in orders)


def test_it_goes_on_where_it_stopped():
    whole = mixed()
    expected = [batch.x for _ in range(2) for batch in whole]
    parts, again = mixed(), mixed()
    first = [next(iter(parts)).x]
    again.load_state_dict(parts.state_dict())
    rest = [batch.x for batch in again] + [batch.x for batch in again]
    assert len(rest) == 3
    for one, other in zip(first + rest, expected, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(expected[0], expected[2])
    assert not torch.equal(next(iter(mixed(seed=4))).x, expected[0])


def test_processes_draw_one_share_and_mix_their_own_rows():
    halves = [mixed(rows=lambda size, part=part: ((0, 2), (2, size))[part]) for part in range(2)]
    plain = list(DeviceLoader(image_set(), 5, seed=1))
    for first, second, whole in zip(*halves, plain, strict=True):
        assert (first.rows, second.rows) == ((0, 2, 5), (2, 5, 5))
        torch.testing.assert_close(first.x.sum(), whole.x[:2].sum())
        torch.testing.assert_close(second.x.sum(), whole.x[2:].sum())
    assert halves[0].state_dict()["mixed"] == halves[1].state_dict()["mixed"] == 2


def test_images_stay_inside_their_bounds():
    x, y = torch.ones(64, 1, 2, 2), torch.zeros(64, dtype=torch.int64)
    x[::2] = 0.3
    loader = type("Pairs", (list,), {"state_dict": dict})([Batch(x, y)] * 50)
    for batch in MixedBatches(loader, 1.0, num_classes=2):
        assert (batch.x <= 1).all()
        assert (batch.x >= x.min()).all()


def test_what_cannot_be_mixed_is_refused():
    loader = type("Pairs", (list,), {"state_dict": dict})([Batch(torch.rand(2, 1, 2, 2), torch.rand(2))])
    with pytest.raises(TypeError, match=r"mixup: got targets torch\.float32"):
        next(iter(MixedBatches(loader, 1.0, num_classes=2)))
    with pytest.raises(ValueError, match="mixup: got 0, expected a finite number above 0"):
        MixedBatches(loader, 0, num_classes=2)
    with pytest.raises(ValueError, match=r"mixup: got 0\.0, expected"):
        make_config(mixup=0.0)
    config = make_config(mixup=0.5)
    hard = NamedObjective("hard", "takes classes alone", lambda options: options, object)
    expected = "mixup: got 0.5 with objective hard, which takes no soft targets; expected one of cross-entropy, "
    with pytest.raises(ValueError, match=expected):
        check_mixup(config.data, config.declared_method, hard)
