# SPDX-License-Identifier: MIT
"""Where an attack begins: η⁰, one start a file, each of which declares itself as a `NamedStart`.

A start that remembers (a prior) is told which images a mini-batch holds, says where the attack begins, and is told what
it found.
"""

from .momentum import Momentum as Momentum
from .per_class import PerClass as PerClass
from .previous_batch import PreviousBatch as PreviousBatch
from .previous_epoch import PreviousEpoch as PreviousEpoch
from .shared import Shared as Shared
from .start import STARTS as STARTS
from .start import Found as Found
from .start import NamedStart as NamedStart
from .start import Start as Start
from .start import Surroundings as Surroundings
from .uniform import Uniform as Uniform
from .zero import Zero as Zero
