# SPDX-License-Identifier: MIT
"""How the perturbation of a mini-batch is found, and its gradients accumulated: one adversary a file.

An adversary holds the model and adds one mini-batch's gradients to `.grad`; zeroing them and stepping the
optimiser are the caller's business, and so is the model's mode:

    optimizer.zero_grad()
    metrics = adversary.accumulate(x, y)
    optimizer.step()

These three lines are repeated `adversary.replays` times a mini-batch, which is 1 for all but `Free` and `FreeYOPO`.
"""

from ..objectives.objective import Loss as Loss
from .adversary import Adversary as Adversary
from .deep import Deep as Deep
from .deep_crafting import DeepPerturbation as DeepPerturbation
from .deep_crafting import deep_attack as deep_attack
from .fgsm import FGSM as FGSM
from .free import Free as Free
from .free_yopo import FreeYOPO as FreeYOPO
from .gradient_watch import GradientWatch as GradientWatch
from .n_fgsm import NFGSM as NFGSM
from .natural import Natural as Natural
from .pgd import PGD as PGD
from .pgd import pgd as pgd
from .random_start import random_start as random_start
from .trades import TRADES as TRADES
from .trades_yopo import TRADESYOPO as TRADESYOPO
from .yopo import YOPO as YOPO
from .yopo_attack import YOPOAttack as YOPOAttack
