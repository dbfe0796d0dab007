# SPDX-License-Identifier: MIT

import itertools
import math

import pytest
import torch
from torch import nn

from yopo_ext.adversaries import pgd
from yopo_ext.data import ImageSet, to_float
from yopo_ext.evaluation import Attack, correct_images, fgsm, run_attack
from yopo_ext.evaluation.outcome import craft, target_classes


def test_labels_and_step_sizes():
    assert Attack(0.1).label == "PGD-40, ce"
    assert Attack(0.1, steps=7, restarts=3, loss="dlr", targets="all").label == "PGD-7 x 3 restarts, dlr, targets: all"
    assert fgsm(0.1, loss="margin").label == "FGSM, margin"
    assert fgsm(0.1).step_size == 0.1
    assert Attack(0.1, steps=5).step_size == pytest.approx(0.05)
    assert Attack(0.1, steps=5, alpha=0.01).step_size == 0.01
    assert not Attack(0.1, steps=1).is_fgsm


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": "8/255"}, "eps: got '8/255', expected a number"),
        ({"eps": None}, "eps: got None, expected a number"),
        ({"alpha": "1"}, "alpha: got '1', expected a number"),
        ({"steps": 2.5}, "steps: got 2.5, expected a whole number"),
        ({"restarts": True}, "restarts: got True, expected a whole number"),
        ({"seed": "a"}, "seed: got 'a', expected a whole number"),
    ],
)
def test_values_of_another_type(change, message):
    with pytest.raises(TypeError, match=message):
        Attack(**{"eps": 0.1, **change})


def test_a_radius_may_be_as_wide_as_the_box_and_wider_where_there_is_none():
    assert Attack(1.0, alpha=1.0).eps == 1.0
    assert Attack(8, norm="l2").eps == 8
    assert Attack(8, bounds=None, alpha=2).eps == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "at least one step and one start, got steps=0"),
        ({"restarts": 0}, "restarts=0"),
        ({"loss": "kl"}, "unknown attack loss 'kl'; known: ce, margin, dlr"),
        ({"eps": -0.1}, "eps: got -0.1"),
        ({"eps": math.inf}, "eps: got inf"),
        ({"alpha": -0.1}, "alpha: got -0.1, expected a finite value of at least 0"),
        ({"alpha": math.nan}, "alpha: got nan"),
        ({"norm": "l1"}, "norm: got 'l1', expected one of linf, l2"),
        ({"targets": "nearest"}, "targets: got 'nearest', expected one of None, all, next, random, least-likely"),
        ({"restarts": 2, "random_start": False}, "restarts: got 2 without a random start"),
        ({"eps": 8}, "eps: got 8, expected at most 1, the width of the bounds; .* 8/255"),
        ({"eps": 200, "bounds": (0.0, 128.0)}, "eps: got 200, expected at most 128"),
        ({"alpha": 2}, "alpha: got 2, expected below 1, .* 2/255"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Attack(**{"eps": 0.1, **change})


@pytest.mark.parametrize(("targets", "needed"), [(None, 3), ("all", 4)])
def test_dlr_ranks_three_or_four_classes(model, images, targets, needed):
    two = ImageSet(images.images, images.labels % 2, 2)
    with pytest.raises(ValueError, match=f"loss 'dlr' needs at least {needed} classes, these images have 2"):
        run_attack(model, two, Attack(0.1, loss="dlr", targets=targets))


def test_fgsm_is_one_step_of_eps_along_the_sign(model, images):
    model.eval()
    x = to_float(images.images).requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(model(x), images.labels), x)
    expected = (x + 0.1 * g.sign()).clamp(0, 1)
    torch.testing.assert_close(x + craft(model, images, fgsm(0.1)), expected)
    g = g / g.flatten(1).norm(dim=1)[:, None, None, None]
    expected = (x + 0.1 * g).clamp(0, 1)
    torch.testing.assert_close(x + craft(model, images, fgsm(0.1, norm="l2")), expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_perturbations_stay_in_the_ball_and_the_box(model, images, norm, loss):
    attack = Attack(0.2, steps=3, loss=loss, norm=norm)
    eta = craft(model.eval(), images, attack)
    size = eta.flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2)
    assert size.max() <= 0.2 * (1 + 1e-6)
    assert size.median() > 0.15
    perturbed = to_float(images.images) + eta
    assert perturbed.min() >= -1e-6
    assert perturbed.max() <= 1 + 1e-6


class RecordingStarts(nn.Module):
    """Remembers every image it was shown."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.net(x)


def starts(images, **options):
    model = RecordingStarts()
    craft(model, images, Attack(0.1, steps=1, **options))
    return model.seen[0] - to_float(images.images)


def test_starts_differ_between_images_seeds_and_restarts_and_nothing_else(images):
    first = starts(images, seed=5)
    assert torch.equal(starts(images, seed=5), first)
    assert torch.equal(starts(images.select(torch.tensor([40, 3])), seed=5), first[[40, 3]])
    assert torch.equal(starts(images.shard(1, 3), seed=5), first[1::3])
    assert not torch.isclose(starts(images, seed=6), first).all(3).any()
    model = RecordingStarts()
    attack = Attack(0.1, steps=1, seed=5)
    craft(model, images, attack, restart=1)
    assert not torch.isclose(model.seen[0] - to_float(images.images), first).all(3).any()


@pytest.mark.parametrize("attack", [Attack(0.12, steps=2, restarts=2), Attack(0.12, steps=2, targets="random")])
def test_shards_and_batches_add_up_to_the_whole(model, images, attack):
    whole = run_attack(model, images, attack)
    assert 0 < whole.survived.sum() < len(images)
    for batch_size in (1, 7):
        again = run_attack(model, images, attack, batch_size=batch_size)
        assert torch.equal(again.survived, whole.survived)
    shards = [run_attack(model, images.shard(rank, 4), attack) for rank in range(4)]
    for rank, outcome in enumerate(shards):
        assert torch.equal(outcome.survived, whole.survived[rank::4])
        if attack.targets:
            assert torch.equal(outcome.reached, whole.reached[rank::4])
    assert sum(int(correct_images(model, images.shard(rank, 4)).sum()) for rank in range(4)) == int(
        correct_images(model, images).sum()
    )


def test_an_empty_shard_counts_nothing(model, images):
    empty = images.take(2).shard(2, 3)
    assert len(empty) == 0
    assert correct_images(model, empty).shape == (0,)
    assert run_attack(model, empty, Attack(0.1, targets="all")).survived.shape == (0,)


def test_targets_are_other_classes(model, images):
    model.eval()
    labels = images.labels
    for name, rounds in (("all", 2), ("next", 1), ("random", 1), ("least-likely", 1)):
        found = target_classes(model, images, Attack(0.1, targets=name), 0)
        assert len(found) == rounds
        assert all((targets != labels).all() for targets in found)
        assert all(((targets >= 0) & (targets < 3)).all() for targets in found)
    assert torch.equal(target_classes(model, images, Attack(0.1, targets="next"), 0)[0], (labels + 1) % 3)
    both = torch.stack(target_classes(model, images, Attack(0.1, targets="all"), 0))
    assert torch.equal(both.sum(0) + labels, torch.full_like(labels, 3))
    with torch.no_grad():
        logits = model(to_float(images.images))
    least = target_classes(model, images, Attack(0.1, targets="least-likely"), 0)[0]
    assert (logits.gather(1, least[:, None]) <= logits.scatter(1, labels[:, None], torch.inf)).all()
    drawn = [target_classes(model, images, Attack(0.1, targets="random"), restart)[0] for restart in range(2)]
    assert not torch.equal(*drawn)
    assert 20 < ((drawn[0] - labels) % 3 == 1).sum() < 70


def test_targeted_attacks_descend_towards_their_target(model, images):
    model.eval()
    targets = (images.labels + 1) % 3
    for loss in ("ce", "margin"):
        attack = Attack(0.15, steps=4, loss=loss, targets="next", random_start=False)
        with torch.no_grad():
            before = model(to_float(images.images))
        eta = craft(model, images, attack, targets=targets)
        with torch.no_grad():
            after = model(to_float(images.images) + eta)
        rise = (after - before).log_softmax(1).gather(1, targets[:, None])
        assert (rise > (after - before).log_softmax(1).gather(1, images.labels[:, None])).float().mean() > 0.95
    by_hand = pgd(
        model, to_float(images.images), targets, eps=0.15, alpha=-0.05, steps=4, random_start=False,
        loss=nn.functional.cross_entropy,
    )  # fmt: skip
    attack = Attack(0.15, steps=4, alpha=0.05, targets="next", random_start=False)
    assert torch.equal(craft(model, images, attack, targets=targets), by_hand)


def test_what_survives_and_what_is_reached(model, images):
    correct = correct_images(model, images)
    one = run_attack(model, images, Attack(0.15, steps=4, targets="next"))
    everything = run_attack(model, images, Attack(0.15, steps=4, targets="all"))
    assert not (one.survived & ~correct).any()
    assert not (one.reached & ~correct).any()
    # An image led to its target has not survived; one that was lost on the way was not led there.
    assert not (one.reached & one.survived).any()
    assert 0 < one.reached.sum() <= (correct & ~one.survived).sum()
    assert torch.equal(everything.reached, correct & ~everything.survived)
    assert everything.survived.sum() < one.survived.sum() < correct.sum()
    assert run_attack(model, images, Attack(0.15, steps=1)).reached is None


def test_known_clean_predictions_are_not_made_again(model, images):
    correct = correct_images(model, images)
    correct[:10] = False
    found = run_attack(model, images, Attack(0.0, steps=1), correct=correct)
    assert torch.equal(found.survived, correct)


@pytest.mark.parametrize("targets", [None, "next", "random", "all"])
def test_more_restarts_never_save_an_image_and_never_lose_a_target(model, images, targets):
    found = [
        run_attack(model, images, Attack(0.12, 1, 0.06, restarts=restarts, targets=targets)) for restarts in (1, 2, 4)
    ]
    for fewer, more in itertools.pairwise(found):
        assert not (more.survived & ~fewer.survived).any()
        assert targets is None or not (fewer.reached & ~more.reached).any()
    assert found[-1].survived.sum() < found[0].survived.sum()


class Thirds(nn.Module):
    """The class is the third of [0, 1] that the pixel lies in."""

    def forward(self, x):
        return -(x.flatten(1) - torch.tensor([1 / 6, 1 / 2, 5 / 6])).abs()


def test_an_image_is_attacked_until_it_is_led_to_its_target_and_stays_broken(monkeypatch):
    images = ImageSet(torch.full((3, 1, 1, 1), 26, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), 3)
    # Target 1. The first start leads to the classes 2, 1, 0; the second, of those not led to 1, to 0 and 1.
    moves = iter([[0.8, 0.4, 0.0], [0.0, 0.4]])
    monkeypatch.setattr(
        "yopo_ext.evaluation.outcome.craft", lambda *args, **options: torch.tensor(next(moves)).reshape(-1, 1, 1, 1)
    )
    found = run_attack(Thirds(), images, Attack(0.9, restarts=2, targets="next"))
    assert found.survived.tolist() == [False, False, False]
    assert found.reached.tolist() == [False, True, True]
    assert next(moves, None) is None
