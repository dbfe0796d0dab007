from dataclasses import dataclass
from functools import partial
from ..options import check_options, option
from . import cross_entropy, trades
from .objective import NamedObjective
@dataclass(frozen=True)
class CE:
    label_smoothing: float = option(0.0,"s",least=0,most=1)
    def __post_init__(self): check_options(self)
@dataclass(frozen=True)
class TR(CE):
    beta: float = option(6.0,"s",least=0)
OBJECTIVES=(NamedObjective("cross-entropy","c",lambda o: partial(cross_entropy,label_smoothing=o.label_smoothing),CE),
 NamedObjective("trades","c",lambda o: partial(trades,beta=o.beta,label_smoothing=o.label_smoothing),TR))
