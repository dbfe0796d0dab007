# SPDX-License-Identifier: MIT
"""Networks whose outputs only an objective can read, and every attack on them."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from robustness import attacked, batch_of
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax

from yopo_ext.data import to_float
from yopo_ext.evaluation import (
    FGSMAttack,
    PGDAttack,
    accuracy,
    adversarial_examples,
    measure,
    normalisation_doubt,
    outcomes,
    sweep,
    transfer_matrix,
    verdict,
)


class Reads:
    """An objective that takes the logits out of what the network returns."""

    needs_clean = False

    def __init__(self, take):
        self.take = take

    def attack(self, outputs, y):
        return cross_entropy(self.take(outputs), y)

    train = attack

    def predict(self, outputs):
        return self.take(outputs).argmax(1)


class ReadsLogits(Reads):
    def logits(self, outputs):
        return self.take(outputs)


class Smallest(Reads):
    """Reverse cross entropy's way: the class is the smallest logit's."""

    def __init__(self):
        super().__init__(lambda outputs: -outputs)


class Sign(Reads):
    """One output neuron for two classes."""

    def __init__(self):
        super().__init__(lambda outputs: torch.cat([torch.zeros_like(outputs), outputs], 1))


class Ensemble(Reads):
    def __init__(self):
        super().__init__(lambda outputs: log_softmax(outputs, 2).logsumexp(1))


class Returns(nn.Module):
    def __init__(self, model, make):
        super().__init__()
        self.model, self.make = model, make

    def forward(self, x):
        return self.make(self.model(x))


#: what the network makes of its logits, and who can read it
KINDS = {
    "plain": (lambda z: z, None),
    "tuple": (lambda z: (z.sum(), z), ReadsLogits(lambda outputs: outputs[1])),
    "dict": (lambda z: {"z": z}, ReadsLogits(lambda outputs: outputs["z"])),
    ".logits": (lambda z: SimpleNamespace(logits=z), ReadsLogits(lambda outputs: outputs.logits)),
    "no method logits": (lambda z: z, Reads(lambda outputs: outputs)),
    "smallest": (lambda z: -z, Smallest()),
    "ensemble": (lambda z: torch.stack([z, z], 1), Ensemble()),
}
#: kinds of outputs that losses on logits are not defined for
OWN_LOSS_ONLY = ("smallest", "ensemble")
ATTACKS = {
    "fgsm": lambda **options: FGSMAttack(0.12, **options),
    "pgd": lambda **options: PGDAttack(0.12, 2, restarts=2, **options),
}
SOURCES = {
    "set": lambda images: images,
    "pair": lambda images: (to_float(images.images), images.labels),
    "loader": lambda images: torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(to_float(images.images), images.labels), batch_size=37
    ),
}


@pytest.fixture
def found(model, images):
    """Of an attack on the plain network, image by image; each made once."""
    known = {}

    def look(attack):
        if attack not in known:
            known[attack] = outcomes(model, images, [attack])
        return known[attack]

    return look


CROSSING = list(itertools.product(ATTACKS, ("linf", "l2"), (None, "next", "random", "least-likely", "all")))


@pytest.mark.parametrize(("name", "norm", "targets"), CROSSING)
def test_every_attack_on_every_source_and_objective_in_and_outside_of_inference_mode(
    model, images, found, name, norm, targets
):
    """The logits are the same, so what survives is too, whatever holds the images and whatever wraps the logits."""
    attack = ATTACKS[name](norm=norm, targets=targets)
    expected = found(attack)
    assert expected.attacked[0].survived.sum() < expected.correct.sum()
    for kind, source, inference in itertools.product(KINDS, SOURCES, (False, True)):
        if kind in OWN_LOSS_ONLY:
            continue
        make, objective = KINDS[kind]
        with torch.inference_mode(inference):
            given = SOURCES[source](images)
            again = outcomes(Returns(model, make), given, [attack], objective=objective)
        where = (kind, source, inference)
        assert torch.equal(again.correct, expected.correct), where
        assert torch.equal(again.attacked[0].survived, expected.attacked[0].survived), where
        assert targets is None or torch.equal(again.attacked[0].reached, expected.attacked[0].reached), where
    make, objective = KINDS["dict"]
    for rank in range(4):
        part = outcomes(Returns(model, make), images.shard(rank, 4), [attack], objective=objective)
        assert torch.equal(part.attacked[0].survived, expected.attacked[0].survived[rank::4])


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targets", [None, "next"])
def test_the_objectives_own_loss_is_cross_entropy_here(model, images, found, kind, norm, targets):
    if kind in OWN_LOSS_ONLY and targets is not None:
        pytest.skip("targets are drawn by logits, which these outputs have none of")
    make, objective = KINDS[kind]
    attack = PGDAttack(0.12, 2, loss="objective", norm=norm, targets=targets)
    survived = attacked(Returns(model, make), images, attack, objective=objective).survived
    expected = found(PGDAttack(0.12, 2, norm=norm, targets=targets)).attacked[0].survived
    assert torch.equal(survived, expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OWN_LOSS_ONLY])
def test_all_doors_read_through_the_objective(model, images, kind):
    make, objective = KINDS[kind]
    wrapped, attack = Returns(model, make), PGDAttack(0.12, 2)
    assert accuracy(wrapped, images, objective=objective) == accuracy(model, images)
    assert normalisation_doubt(wrapped, images, objective=objective) == normalisation_doubt(model, images)
    options = {"objective": objective, "check_normalisation": False}
    assert measure(wrapped, images, [attack], **options) == measure(model, images, [attack], check_normalisation=False)
    assert sweep(wrapped, images, [attack], "steps", [1, 2], objective=objective) == sweep(
        model, images, [attack], "steps", [1, 2]
    )
    pair = {"a": wrapped, "b": wrapped}
    matrix = transfer_matrix(pair, images, attack, objective=objective)
    assert matrix.accuracy == transfer_matrix({"a": model, "b": model}, images, attack).accuracy
    shown = adversarial_examples(wrapped, images, attack, objective=objective)
    assert torch.equal(shown.eta, adversarial_examples(model, images, attack).eta)


def test_a_loss_on_logits_never_attacks_what_is_not_the_class(model, images):
    """Cross entropy of logits whose smallest is the class would make the network surer of itself."""
    wrapped = Returns(model, KINDS["smallest"][0])
    assert accuracy(wrapped, images, objective=Smallest()) == accuracy(model, images)
    for loss in ("ce", "margin", "dlr"):
        with pytest.raises(ValueError, match=r"whose largest is not the predicted class; Smallest may say .* logits"):
            measure(wrapped, images, [FGSMAttack(0.1, loss=loss)], objective=Smallest(), check_normalisation=False)
    with pytest.raises(ValueError, match=r"shape \(\d+, 2, 3\), expected logits .*loss='objective'"):
        measure(
            Returns(model, KINDS["ensemble"][0]), images, [FGSMAttack(0.1)], objective=Ensemble(),
            check_normalisation=False,
        )  # fmt: skip


def test_one_output_neuron_that_is_read_as_two_classes(model, images):
    two = type(images)(images.images, (images.labels == 1).long(), 2)
    one = Returns(model, lambda z: z[:, 1:2] - z[:, [0, 2]].amax(1, keepdim=True))
    found = measure(one, two, [PGDAttack(0.1, 2, loss="objective")], objective=Sign(), check_normalisation=False)
    assert found.clean == accuracy(Returns(one, Sign().take), two)
    assert found.worst < found.clean - 10
    with pytest.raises(ValueError, match="one output neuron"):
        accuracy(one, two)


class Silent(Reads):
    def __init__(self, predictions):
        super().__init__(lambda outputs: outputs)
        self.predictions = predictions

    def predict(self, outputs):
        return self.predictions


@pytest.mark.parametrize(
    ("predictions", "error", "message"),
    [
        (None, ValueError, "the objective's predictions: got None, expected classes"),
        (torch.zeros(90), TypeError, "the objective's predictions: got torch.float32"),
        (torch.zeros(90, 1).long(), ValueError, r"the objective's predictions: got shape \(90, 1\), expected \(90,\)"),
        ([0] * 90, TypeError, "the objective's predictions: got a list"),
    ],
)
def test_predictions_that_are_no_classes_are_refused(model, images, predictions, error, message):
    with pytest.raises(error, match=message):
        accuracy(model, images, objective=Silent(predictions))


def test_what_is_no_objective(model, images):
    with pytest.raises(TypeError, match="objective: got a float, expected an object with attack, train and predict"):
        accuracy(model, images, objective=0.1)


def test_a_loss_of_torch_reads_logits_as_in_training(model, images):
    assert accuracy(model, images, objective=nn.CrossEntropyLoss()) == accuracy(model, images)


def test_outputs_that_are_nan_are_of_no_class_for_any_objective(images):
    zeros = torch.zeros(90, dtype=torch.int64)
    for make, objective in ((lambda z: (z, z), KINDS["tuple"][1]), (lambda z: z, Smallest())):
        network = Returns(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), lambda z, make=make: make(z * math.nan))
        outputs = network(batch_of(images).x)
        assert not verdict(objective, outputs, zeros).any()
