# SPDX-License-Identifier: MIT
"""What is climbed, minimised and predicted: one objective a file.

An `Objective` answers three questions about a network's outputs, into which nobody else looks: what the adversary
climbs, what the weights descend, what the classes are. A plain function loss(logits, y) that returns the mean, 0-d, is
one too (`as_objective`). Bind its options with `functools.partial`, which can be copied and pickled.
"""

from .adaptive_diversity import AdaptiveDiversity as AdaptiveDiversity
from .adaptive_diversity import ensemble_diversity as ensemble_diversity
from .binary import BinaryCrossEntropy as BinaryCrossEntropy
from .cross_entropy import CrossEntropy as CrossEntropy
from .cross_entropy import cross_entropy as cross_entropy
from .g_sce import GSCE as GSCE
from .mmc import MMC as MMC
from .mmlda import MMLDA as MMLDA
from .objective import Objective as Objective
from .objective import as_objective as as_objective
from .objective import largest_logit as largest_logit
from .reverse_cross_entropy import ReverseCrossEntropy as ReverseCrossEntropy
from .reverse_cross_entropy import reverse_cross_entropy as reverse_cross_entropy
from .trades import Trades as Trades
from .trades import trades as trades
