# SPDX-License-Identifier: MIT
"""The figures that most tests of evaluation ask for."""

from yopo_ext.evaluation import ClassLogits, ImageBatch, measure, outcomes


def robust(model, images, *attacks, **options):
    """Accuracy in percent under all the attacks together."""
    return measure(model, images, attacks, check_normalisation=False, **options).worst


def batch_of(images):
    """A set as the one batch that an attack is given."""
    return ImageBatch(images.images, images.labels, images.num_classes, ClassLogits())


def attacked(model, images, attack, **options):
    """What one attack did, image by image."""
    return outcomes(model, images, [attack], **options).attacked[0]
