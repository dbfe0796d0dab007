# SPDX-License-Identifier: MIT
"""The deep attack for measuring: an image's own, whatever batch it is in; and what its verdict is."""

import pytest
import torch

from yopo_ext.data import load_dataset
from yopo_ext.evaluation import ATTACKS, Budget, PGDAttack, measure
from yopo_ext.evaluation.attacks.deep import DeepAttack
from yopo_ext.models import build_model
from yopo_ext.training import Run, make_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that has learned the digits a little, and test images."""
    config = make_config(method="natural", epochs=6, limit_train=400, limit_eval=40, curve_every=6, curve_steps=1)
    run = Run(config, tmp_path_factory.mktemp("run"), show=False)
    run.fit()
    return run.parts.model, load_dataset("digits").test.take(40)


def test_figures_do_not_depend_on_batches(trained):
    model, images = trained
    attack = DeepAttack(0.1, 4, penalties=(20.0,), form="recursive")
    whole, parts = (measure(model, images, [attack], batch_size=size).robust[attack.label] for size in (40, 7))
    assert whole == parts


def test_it_breaks_what_pgd_breaks_and_more(trained):
    model, images = trained
    attacks = [PGDAttack(0.05, steps=10), DeepAttack(0.05, 10, form="recursive")]
    report = measure(model, images, attacks)
    pgd, deep = (report.robust[attack.label] for attack in attacks)
    assert deep <= pgd < report.clean


def test_dear_hidden_perturbations_and_no_radius_leave_the_network_as_it_is(trained):
    model, images = trained
    attack = DeepAttack(0.0, 3, penalties=(1e6,))
    report = measure(model, images, [attack])
    assert report.robust[attack.label] == report.clean


def test_the_kind_of_attack_and_its_labels():
    (attack,) = ATTACKS["deep"].build(Budget(0.1, "l2", 3), ATTACKS["deep"].options(iterations=2, hidden_eps=0.5))
    assert (attack.eps, attack.norm, attack.seed, attack.iterations) == (0.1, "l2", 3, 2)
    assert attack.label == "deep-2, λ 1, hidden eps 0.5"
    assert DeepAttack(0.1, form="recursive", penalties=(1.0, 2.5)).label == "deep-10, λ 1 2.5, recursive"
    with pytest.raises(ValueError, match="iterations: got 0"):
        DeepAttack(0.1, 0)
    with pytest.raises(ValueError, match="eps: got 2"):
        DeepAttack(2.0)


def test_a_network_that_is_no_chain_is_refused():
    model = build_model("digits-cnn", in_channels=1, num_classes=10)
    images = load_dataset("digits").test.take(4)
    with pytest.raises(ValueError, match=r"chain: part 1 \(features\.conv2\): its output differs"):
        measure(model, images, [DeepAttack(0.1, chain="features.conv1,features.conv2,flatten+classifier.fc2")])
    with pytest.raises(ValueError, match="Wrapped does not say what it is made of"):
        measure(Wrapped(model), images, [DeepAttack(0.1)])


class Wrapped(torch.nn.Module):
    """A network of one part that does not tell its layers."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)
