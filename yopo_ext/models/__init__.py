# SPDX-License-Identifier: MIT
"""The papers' networks, with their published state-dict keys."""

from .activations import ACTIVATIONS, make_activation
from .digits_cnn import DigitsCNN
from .ensemble import Ensemble
from .heads import HEADS, CentreScores, CentresWarning, Head, attach_scores, max_mahalanobis_centres
from .mnist_cnn import MnistCNN
from .network import MODELS, Library, Network, build_model
from .normalize import Normalize
from .preact_resnet import PreActResNet18
from .resnet import ResNet8, ResNet18, ResNet50
from .small_cnn import SmallCNN
from .weight_files import WeightsError, WeightsWarning
from .weights import load_weights
from .wide_resnet import WideResNet

__all__ = [
    "ACTIVATIONS",
    "HEADS",
    "MODELS",
    "CentreScores",
    "CentresWarning",
    "DigitsCNN",
    "Ensemble",
    "Head",
    "Library",
    "MnistCNN",
    "Network",
    "Normalize",
    "PreActResNet18",
    "ResNet8",
    "ResNet18",
    "ResNet50",
    "SmallCNN",
    "WeightsError",
    "WeightsWarning",
    "WideResNet",
    "attach_scores",
    "build_model",
    "load_weights",
    "make_activation",
    "max_mahalanobis_centres",
]
