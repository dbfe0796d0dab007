# SPDX-License-Identifier: MIT
"""The papers' networks, with their published state-dict keys."""

from .digits_cnn import DigitsCNN
from .normalize import Normalize
from .preact_resnet import PreActResNet18
from .registry import MODELS, build_model
from .small_cnn import SmallCNN
from .wide_resnet import WideResNet

__all__ = ["MODELS", "DigitsCNN", "Normalize", "PreActResNet18", "SmallCNN", "WideResNet", "build_model"]
