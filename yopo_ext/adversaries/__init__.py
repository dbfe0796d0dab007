# SPDX-License-Identifier: MIT
"""How the perturbation of a mini-batch is found, and its gradients accumulated: one adversary a file.

An adversary holds the model and adds one mini-batch's gradients to `.grad`; zeroing them and stepping the
optimiser are the caller's business, and so is the model's mode:

    optimizer.zero_grad()
    metrics = adversary.accumulate(x, y)
    optimizer.step()

These three lines are repeated `adversary.replays` times a mini-batch, which is 1 for all but `Free`.
"""

from yopo_ext.adversaries.adversary import Adversary, Loss
from yopo_ext.adversaries.fgsm import FGSM, NFGSM
from yopo_ext.adversaries.free import Free
from yopo_ext.adversaries.joint_generator import JointGenerator
from yopo_ext.adversaries.natural import Natural
from yopo_ext.adversaries.pgd import PGD, pgd
from yopo_ext.adversaries.random_start import random_start
from yopo_ext.adversaries.trades import TRADES
from yopo_ext.adversaries.trades_yopo import TRADESYOPO
from yopo_ext.adversaries.yopo import YOPO

__all__ = [
    "FGSM",
    "NFGSM",
    "PGD",
    "TRADES",
    "TRADESYOPO",
    "YOPO",
    "Adversary",
    "Free",
    "JointGenerator",
    "Loss",
    "Natural",
    "pgd",
    "random_start",
]
