# SPDX-License-Identifier: MIT
"""Pontryagin's maximum principle for adversarial training, in numbers (Zhang et al., NeurIPS 2019, section 3)."""

from .adversary_gap import AdversaryGap as AdversaryGap
from .diagnosis import MaximumPrinciple as MaximumPrinciple
from .diagnosis import maximum_principle as maximum_principle
from .pictures import plot_principle as plot_principle
from .residuals import LayerResiduals as LayerResiduals
from .trajectory import Trajectory as Trajectory
from .trajectory import trajectory as trajectory
