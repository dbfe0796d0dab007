# SPDX-License-Identifier: MIT
"""The figures that most tests of evaluation ask for, and the functions that images and a network can be given to."""

from yopo_ext.evaluation import (
    ClassLogits,
    ImageBatch,
    accuracy,
    adversarial_examples,
    measure,
    normalisation_doubt,
    outcomes,
    sweep,
    transfer_matrix,
)


def robust(model, images, *attacks, **options):
    """Accuracy in percent under all the attacks together."""
    return measure(model, images, attacks, check_normalisation=False, **options).worst


def batch_of(images):
    """A set as the one batch that an attack is given."""
    return ImageBatch(images.images, images.labels, images.num_classes, ClassLogits())


def attacked(model, images, attack, **options):
    """What one attack did, image by image."""
    return outcomes(model, images, [attack], **options).attacked[0]


def doors(attack, swept=None):
    """Every function that is given a network and images, by name. Each returns what `==` compares: one figure or more.

    swept: sweep's attack, where it is another."""
    return {
        "accuracy": accuracy,
        "measure": lambda model, images: measure(model, images, [attack], check_normalisation=False),
        "outcomes": lambda model, images: outcomes(model, images, [attack]).attacked[0].survived.tolist(),
        "sweep": lambda model, images: sweep(model, images, [swept or attack], "eps", [0.1, 0.4]).curves,
        "transfer_matrix": lambda model, images: transfer_matrix({"a": model, "b": model}, images, attack).accuracy,
        "adversarial_examples": lambda model, images: adversarial_examples(model, images, attack, count=9).eta.tolist(),
        "normalisation_doubt": normalisation_doubt,
    }
