# SPDX-License-Identifier: MIT
"""SPSA and RayS: on linear networks, whose boundary is known, and on one that is not."""

import json
import math
from itertools import islice

import pytest
import torch
from robustness import attacked, batch_of
from torch import nn

from yopo_ext.cli import main
from yopo_ext.data import ImageSet, to_float
from yopo_ext.evaluation import Outcome, PGDAttack, RaySAttack, SPSAAttack, measure, transfer_matrix
from yopo_ext.evaluation.attacks.rays import blocks
from yopo_ext.evaluation.draws import signs
from yopo_ext.evaluation.outcomes import attack_batch
from yopo_ext.models import build_model

SIDE, COUNT = 6, 24


class Counting(nn.Module):
    """Counts the images it was shown, and computes in float64, where batches do not show."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net.double(), 0

    def forward(self, x):
        self.seen += len(x)
        return self.net(x.double())


@pytest.fixture
def linear():
    """Two classes on grey images far inside the box, some of them misread, and the exact distances: |margin| / ‖w‖."""
    torch.manual_seed(0)
    net = Counting(nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2))).eval()
    x = 0.35 + 0.3 * torch.rand(COUNT, 1, SIDE, SIDE)
    w = (net.net[1].weight[0] - net.net[1].weight[1]).detach()
    with torch.no_grad():
        net.net[1].bias[0] -= (net(x)[:, 0] - net(x)[:, 1]).median()  # both classes, and some close to the boundary
        outputs = net(x)
    y = outputs.argmax(1)
    y[:3] = 1 - y[:3]
    margin = (outputs[:, 0] - outputs[:, 1]).abs()
    net.seen = 0
    return net, (x, y), margin / w.abs().sum(), margin / w.norm()


def test_rays_finds_the_boundary_of_a_linear_network(linear):
    net, images, exact, _ = linear
    eps = float(exact[3:].median()) + 1e-3
    attack = RaySAttack(eps)
    found = attacked(net, images, attack)
    right = torch.arange(COUNT) >= 3
    # Bisection ends within 1e-3 / √(C·H·W), and a sign that would gain less than that is not turned over.
    assert (found.distance - exact)[right].min() >= 0
    assert (found.distance - exact)[right].max() < 3 * attack.tolerance / SIDE
    assert torch.equal(found.distance[:3], torch.zeros(3))
    clear = (exact - eps).abs() > 1e-3
    assert torch.equal(found.survived[clear], (right & (exact > eps))[clear])
    assert 0 < int(found.survived.sum()) < int(right.sum())
    report = measure(net, images, [attack], check_normalisation=False)
    (distance,) = report.distance.values()
    assert distance.mean == pytest.approx(float(found.distance.double().mean()))
    assert distance.missing == 0


@pytest.mark.parametrize("update", ["adam", "sign"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_spsa_breaks_what_can_be_broken_and_nothing_else(linear, norm, update):
    net, images, *distances = linear
    exact = distances[norm == "l2"]
    eps = float(exact[3:].quantile(0.7))
    # All elements of a linear network's best corner matter: 6 × 6 need many directions.
    attack = SPSAAttack(eps, steps=20, directions=256, update=update, norm=norm, alpha=eps / 10)
    found = attacked(net, images, attack)
    right = torch.arange(COUNT) >= 3
    assert not (found.survived & (exact < 0.8 * eps)).any()
    assert bool(found.survived[right & (exact > eps)].all())
    assert (right & (exact > eps)).sum() > 3


def test_spsa_s_step_is_the_formula(linear):
    """One sign step, the estimate written out image by image and direction by direction."""
    net, (x, y), exact, _ = linear
    attack = SPSAAttack(0.004, steps=1, directions=5, alpha=0.004, update="sign", seed=3)
    far = exact.argmax()
    images = batch_of(ImageSet((x[far : far + 1] * 255).round().to(torch.uint8), y[far : far + 1], 2))
    eta = attack_batch(attack, net, images, torch.tensor([True])).eta
    v = signs(images.keys(3, 0), 5 * SIDE * SIDE).reshape(5, 1, SIDE, SIDE)

    def loss(point):
        logits = net(point[None])[0]
        return logits[1 - images.y[0]] - logits[images.y[0]]

    estimate = sum((loss(images.x[0] + 1e-3 * d) - loss(images.x[0] - 1e-3 * d)) / 2e-3 * d for d in v) / 5
    assert torch.equal(eta[0], (0.004 * estimate.sign()).float())
    assert set(v.unique().tolist()) == {-1.0, 1.0}
    assert 0.3 < float((v > 0).float().mean()) < 0.7


def test_queries_are_what_the_network_was_asked(linear):
    net, (x, y), *_ = linear
    right = torch.arange(COUNT) >= 3
    images = batch_of(ImageSet((x * 255).round().to(torch.uint8), y, 2))
    for attack in (SPSAAttack(0.03, steps=4, directions=3), RaySAttack(0.03, queries=50)):
        net.seen = 0
        found = attack_batch(attack, net, images, right)
        assert not found.queries[:3].any()
        if isinstance(attack, SPSAAttack):
            assert net.seen == found.queries.sum()
            assert set(found.queries[found.survived].tolist()) == {4 * 7 + 1}
            assert (found.queries[right & ~found.survived] % 7 <= 1).all()
            assert (found.queries[right & ~found.survived] < 4 * 7).any()
        else:
            assert found.queries.max() <= 50
            assert found.queries.sum() <= net.seen <= 50 * int(right.sum())
            assert (found.queries[right & ~found.survived] > 0).all()


def test_rays_is_done_when_an_image_is_broken_where_no_distances_are_asked_for(linear):
    net, images, *_ = linear
    through, stopped = RaySAttack(0.03), RaySAttack(0.03, boundary=False)
    whole = attacked(net, images, through)
    net.seen = 0
    found = attacked(net, images, stopped)
    assert found.distance is None
    assert torch.equal(found.survived, whole.survived)
    assert torch.equal(found.queries, whole.queries)
    assert net.seen == int(found.queries.sum()) + COUNT


def test_rays_stops_where_no_sign_can_help_and_loses_nothing_by_it(linear):
    """What 10,000 queries find, as many as there are until a whole round of single elements fails find too."""
    net, images, *_ = linear
    found = attacked(net, images, RaySAttack(0.01))
    short = attacked(net, images, RaySAttack(0.01, queries=int(found.queries.max())))
    assert found.queries.max() < 1_000
    assert torch.equal(short.distance, found.distance)


def literal_rays(is_wrong, x, limit, tolerance):
    """Algorithms 1 to 3 of Chen and Gu (2020) for one image: the radius of its best ray, and the queries."""
    size, queries, best, sign = x.numel(), 0, float("inf"), torch.ones(x.numel())
    length = size**0.5

    def ask(s, r):
        nonlocal queries
        queries += 1
        return is_wrong((x + (r / length) * s.reshape(x.shape)).clamp(0, 1))

    level = 0
    while True:
        width = math.ceil(size / 2**level)
        for start in range(0, size, width):
            attempt = sign.clone()
            attempt[start : start + width] *= -1
            if ask(attempt, min(best, length)):
                low, high = 0.0, min(best, length)
                while high - low > tolerance and queries < limit:
                    middle = (low + high) / 2
                    if ask(attempt, middle):
                        high = middle
                    else:
                        low = middle
                if high < best:
                    best, sign = high, attempt
            if queries >= limit:
                return best / length, queries
        level += 1


def test_rays_is_its_algorithm_written_out(model, images):
    net = Counting(model).eval()
    part = batch_of(images.take(6))
    with torch.no_grad():
        right = part.right(net(part.x))
    found = attack_batch(RaySAttack(0.02, queries=150), net, part, right)
    assert right.sum() >= 3
    for index in right.nonzero().squeeze(1).tolist():

        @torch.no_grad()
        def is_wrong(x, label=part.y[index]):
            return bool(net(x[None]).argmax() != label)

        radius, queries = literal_rays(is_wrong, part.x[index], 150, 1e-3)
        assert float(found.distance[index]) == pytest.approx(radius, abs=1e-6)
        if found.survived[index]:
            assert int(found.queries[index]) <= queries == 150  # fewer where nothing was left to try


def test_blocks_halve_down_to_single_elements():
    assert [(one.start, one.stop) for one in islice(blocks(5), 14)] == [
        (0, 5), (0, 3), (3, 5), (0, 2), (2, 4), (4, 5), *([(i, i + 1) for i in range(5)]), (0, 1), (1, 2), (2, 3),
    ]  # fmt: skip
    assert list(islice(blocks(1), 2)) == [slice(0, 1)] * 2


def test_a_constant_network_has_no_boundary():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)
    net[1].weight.zero_()
    net[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    images = (torch.rand(4, 1, 4, 4), torch.tensor([0, 0, 0, 1]))
    report = measure(net, images, [RaySAttack(0.3), SPSAAttack(0.3, steps=1, directions=2)], check_normalisation=False)
    assert report.worst == report.clean == 75
    assert (report.distance["RayS-10000"].mean, report.distance["RayS-10000"].missing) == (0, 3)
    assert report.queries["RayS-10000"].most == 1 + 2 + 4 + 8 + 16
    assert report.queries["SPSA-1, margin"].broken is None
    assert "mean 0, 3 images without" in report.to_table()
    none = measure(net, (images[0][3:], images[1][3:]), [RaySAttack(0.3)], check_normalisation=False)
    assert none.queries["RayS-10000"].most == 0


ATTACKS = [
    SPSAAttack(0.12, steps=6, directions=8, alpha=0.03),
    SPSAAttack(0.5, steps=6, directions=8, alpha=0.2, norm="l2", update="sign", loss="dlr"),
    RaySAttack(0.12, queries=60),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.label)
def test_what_an_image_gets_depends_on_nothing_but_the_image(model, images, attack):
    net, images = Counting(model), images.take(24)
    whole = attacked(net, images, attack)
    assert 0 < whole.survived.sum() < len(images)
    names = [name for name in ("survived", "queries", "distance") if getattr(whole, name) is not None]
    assert "queries" in names
    for batch_size in (1, 5):
        again = attacked(net, images, attack, batch_size=batch_size)
        assert all(torch.equal(getattr(again, name), getattr(whole, name)) for name in names)
    shards = [attacked(net, images.shard(rank, 3), attack) for rank in range(3)]
    for rank, shard in enumerate(shards):
        assert all(torch.equal(getattr(shard, name), getattr(whole, name)[rank::3]) for name in names)


def test_spsa_is_the_same_in_any_batch_bit_for_bit(images):
    """In float32 too, where the rounding of the same image differs from batch to batch."""
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(128, 3)).eval()
    part, attack = batch_of(images), SPSAAttack(0.1, steps=5, directions=16)
    right = torch.ones(len(part), dtype=torch.bool)
    eta = attack_batch(attack, conv, part, right).eta
    one = attack_batch(attack, conv, part.select(torch.tensor([31])), right[:1]).eta
    assert torch.equal(one[0], eta[31])
    other = attack_batch(SPSAAttack(0.1, steps=5, directions=16, seed=1), conv, part, right).eta
    assert not torch.equal(other, eta)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.label)
def test_they_are_as_strong_as_gradients_where_queries_abound(model, images, attack):
    images = images.take(30)
    strong = {"queries": 2000} if isinstance(attack, RaySAttack) else {"steps": 20, "directions": 64}
    attack = type(attack)(**{**vars(attack), **strong})
    pgd = PGDAttack(attack.eps, norm=attack.norm, restarts=3)
    report = measure(Counting(model), images, [attack, pgd], check_normalisation=False)
    assert report.robust[attack.label] <= report.robust[pgd.label] + 8
    assert report.robust[attack.label] < report.clean - 30


def test_examples_of_theirs_transfer(model, images):
    images = images.take(24)
    for attack in (ATTACKS[0], ATTACKS[2]):
        matrix = transfer_matrix({"a": model, "b": model}, images, attack)
        assert matrix.accuracy[0] == matrix.accuracy[1]
        assert matrix.accuracy[0][0] < matrix.clean[0]


@pytest.mark.parametrize(
    ("kind", "change", "error", "message"),
    [
        (SPSAAttack, {"eps": 8}, ValueError, "eps: got 8, expected at most 1, .* 8/255"),
        (RaySAttack, {"eps": 8}, ValueError, "eps: got 8, expected at most 1, .* 8/255"),
        (SPSAAttack, {"eps": "8/255"}, TypeError, "eps: got '8/255', expected a finite number of at least 0"),
        (SPSAAttack, {"delta": 0.0}, ValueError, "delta: got 0.0, expected a finite number above 0"),
        (SPSAAttack, {"directions": 0}, ValueError, "directions: got 0"),
        (SPSAAttack, {"loss": "objective"}, ValueError, "loss: got 'objective', expected one of ce, margin, dlr"),
        (SPSAAttack, {"update": "sgd"}, ValueError, "update: got 'sgd', expected one of adam, sign"),
        (RaySAttack, {"norm": "l2"}, ValueError, "norm: got 'l2', expected one of linf"),
        (RaySAttack, {"queries": 0}, ValueError, "queries: got 0"),
        (RaySAttack, {"tolerance": float("nan")}, ValueError, "tolerance: got nan"),
    ],
)
def test_what_is_refused(kind, change, error, message):
    with pytest.raises(error, match=message):
        kind(**{"eps": 0.1, **change})


def test_dlr_ranks_three_classes(linear):
    net, (x, y), *_ = linear
    two = ImageSet((x * 255).to(torch.uint8), y, 2)
    with pytest.raises(ValueError, match="loss 'dlr' needs at least 3 classes, these images have 2"):
        attacked(net, two, SPSAAttack(0.1, loss="dlr"))


class Cheats:
    label, norm, eps = "cheats", "linf", 0.1

    def __init__(self, **parts):
        self.parts = parts

    def require_classes(self, classes):
        pass

    def run(self, model, images, correct):
        return Outcome(correct, **self.parts)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"queries": torch.zeros(90)}, TypeError, r"queries is torch.float32 \(90,\), expected torch.int64 \(90,\)"),
        ({"queries": 5}, TypeError, "queries is a int"),
        ({"distance": torch.zeros(3)}, TypeError, r"distance is torch.float32 \(3,\), expected torch.float32 \(90,\)"),
        ({"distance": torch.full((90,), torch.nan)}, RuntimeError, "distance is negative or NaN"),
    ],
)
def test_figures_that_are_none_are_named(model, images, parts, error, message):
    with pytest.raises(error, match=f"cheats: its outcome's {message}"):
        measure(model, images, [Cheats(**parts)], check_normalisation=False)


def test_from_the_command_line(tmp_path, capsys):
    torch.manual_seed(0)
    torch.save(build_model("digits-cnn", in_channels=1, num_classes=10).state_dict(), tmp_path / "w.pt")
    given = ["evaluate", "--weights", str(tmp_path / "w.pt"), "--model", "digits-cnn", "--dataset", "digits"]
    given += ["--limit", "20", "--device", "cpu", "--eps", "0.3", "--attacks", "spsa", "rays"]
    small = ["--spsa-steps", "2", "--spsa-directions", "4", "--rays-queries", "80"]
    assert main([*given, *small, "--spsa-update", "sign", "--json", "--plots", str(tmp_path / "plots")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["robust"]) == ["SPSA-2, margin, sign", "RayS-80"]
    assert list(found["queries"]) == list(found["robust"])
    assert found["distance"]["RayS-80"]["mean"] >= 0
    assert found["attacks"]["SPSA-2, margin, sign"]["directions"] == 4
    assert (tmp_path / "plots" / "examples.png").stat().st_size > 1000
    for wrong, message in (
        (["--norm", "l2"], "norm: got 'l2', expected one of linf"),
        (["--spsa-delta", "0"], "spsa_delta: got 0.0, expected a finite number above 0"),
        (["--rays-queries", "0"], "rays_queries: got 0"),
        (["--eps", "8"], "eps: got 8, expected at most 1"),
    ):
        assert main([*given, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert main([*given[:-2], "pgd", "--rays-queries", "9"]) == 2
    assert "--rays-queries: goes with --attacks rays" in capsys.readouterr().err
    assert main([*given, *small, "--no-rays-boundary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["distance"] == {}


def test_constants_are_the_talk_s():
    """Perturbation 0.001, step 1/255, 128 directions; 10,000 queries, radius to 1e-3."""
    spsa, rays = SPSAAttack(8 / 255), RaySAttack(8 / 255)
    assert (spsa.delta, spsa.alpha, spsa.directions) == (0.001, 1 / 255, 128)
    assert (rays.queries, rays.tolerance) == (10_000, 1e-3)
    assert to_float(torch.tensor([255], dtype=torch.uint8)).item() == 1  # the units of both
