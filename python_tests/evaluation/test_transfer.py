# SPDX-License-Identifier: MIT

import copy
import json

import pytest
import torch
from robustness import robust
from torch import nn

from yopo_ext.evaluation import Outcome, PGDAttack, accuracy, transfer_matrix


@pytest.fixture
def models(model):
    """The network, one that differs where it is nonlinear, and one that an attack on the first must miss."""
    other = copy.deepcopy(model)
    torch.manual_seed(7)
    with torch.no_grad():
        other.wiggle[2].weight.copy_(1.5 * torch.randn_like(other.wiggle[2].weight) / 5)

    class Constant(nn.Module):
        def forward(self, x):
            return torch.eye(3)[0] + 0 * x.flatten(1)[:, :3]

    return {"a": model.train(), "b": other.eval(), "constant": Constant()}


def test_rows_are_crafted_on_columns_measured_on(models, images):
    attack = PGDAttack(0.12, steps=3)
    matrix = transfer_matrix(models, images, attack, batch_size=40)
    assert matrix.names == ("a", "b", "constant")
    assert matrix.clean == tuple(accuracy(model, images) for model in models.values())
    for index, name in enumerate(("a", "b")):
        assert matrix.accuracy[index][index] <= robust(models[name], images, PGDAttack(0.12, steps=3)) + 100 / 45
    # An example crafted on one network hurts that network most.
    assert matrix.accuracy[0][0] < matrix.accuracy[1][0] < matrix.clean[0]
    assert matrix.accuracy[1][1] < matrix.accuracy[0][1] < matrix.clean[1]
    assert [row[2] for row in matrix.accuracy] == [matrix.clean[2]] * 3


def test_modes_are_left_as_they_were(models, images):
    transfer_matrix(models, images, PGDAttack(0.1, steps=1))
    assert models["a"].training
    assert models["a"].norm.training
    assert not models["b"].training
    assert all(parameter.requires_grad for parameter in models["a"].parameters())


def test_targeted_transfer(models, images):
    attack = PGDAttack(0.12, steps=3, targets="next")
    matrix = transfer_matrix(models, images, attack)
    assert matrix.accuracy[0][0] < matrix.clean[0]
    assert matrix.accuracy != transfer_matrix(models, images, PGDAttack(0.12, steps=3)).accuracy


def test_json_and_table(models, images):
    matrix = transfer_matrix(models, images, PGDAttack(0.1, steps=2))
    values = json.loads(json.dumps(matrix.to_dict()))
    assert values["names"] == ["a", "b", "constant"]
    assert values["accuracy"] == [list(row) for row in matrix.accuracy]
    assert (values["images"], values["attack"]["eps"], values["attack"]["alpha"]) == (90, 0.1, 0.125)
    lines = matrix.to_table().splitlines()
    assert lines[0].endswith("a      b  constant")
    assert lines[2].split() == ["clean", *(f"{value:.2f}" for value in matrix.clean)]
    assert lines[4].split() == ["b", *(f"{value:.2f}" for value in matrix.accuracy[1])]
    assert lines[-1] == "accuracy in % of 90 images, PGD-2, ce, eps 0.1"


def test_of_several_starts_the_one_that_broke_its_own_network_counts(models, images):
    one, more = (transfer_matrix(models, images, PGDAttack(0.1, 1, 0.05, restarts=count)) for count in (1, 6))
    assert more.accuracy[0][0] < one.accuracy[0][0]
    assert more.accuracy[0][0] == robust(models["a"], images, PGDAttack(0.1, 1, 0.05, restarts=6))


class WithoutPerturbations:
    label, eps, norm = "counts only", 0.1, "linf"

    def require_classes(self, classes):
        pass

    def run(self, model, images, correct):
        return Outcome(correct)


@pytest.mark.parametrize(
    ("attack", "error", "message"),
    [
        (PGDAttack(0.1, targets="next", loss="dlr"), ValueError, "needs at least 4 classes"),
        (WithoutPerturbations(), ValueError, "keeps its perturbations, got counts only, which does not"),
        ("pgd", TypeError, "attacks: got 'pgd', expected objects with label, eps, norm"),
    ],
)
def test_what_is_refused(models, images, attack, error, message):
    with pytest.raises(error, match=message):
        transfer_matrix(models, images, attack)


def test_one_network_is_no_matrix(models, images):
    with pytest.raises(ValueError, match="at least two networks, got 1"):
        transfer_matrix({"a": models["a"]}, images, PGDAttack(0.1))
