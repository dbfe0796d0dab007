# SPDX-License-Identifier: MIT
"""Adaptive diversity promoting, for ensembles (Pang, Xu, Du, Chen, Zhu, ICML 2019)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..options import Options, option
from .objective import NamedObjective, Outputs, Targets

# Added to the Gram matrix, which is singular where two members agree.
_RIDGE = 1e-6


@dataclass(frozen=True)
class AdaptiveDiversity(Options):
    """Σ_k CE(F^k, y) − α·H(mean_k F^k) − β·log det(M̃ᵀM̃ + 1e-6 I), descended; α and β are the two options.

    F^k are the members' probabilities, H the entropy, M̃ the members' probabilities without the true class, each
    normalised to length 1, as columns. The adversary climbs the cross entropy of the mean probability, which is also
    what the class is read from. With both options at 0 it is the ensemble trained without diversity.

    Outputs are (B, K, L), as an `Ensemble`'s; targets (B,) int64.
    """

    entropy_weight: float = option(2.0, "α, of the entropy of the mean prediction", least=0)
    diversity_weight: float = option(0.5, "β, of the logarithm of the ensemble diversity", least=0)

    needs_clean = False

    def attack(self, outputs: Outputs, y: Targets) -> Tensor:
        """Cross entropy of the mean probability, the batch's mean, 0-d. Raises as `logits`."""
        return F.nll_loss(self.logits(outputs), y)

    def train(self, outputs: Outputs, y: Targets, clean: Outputs | None = None) -> Tensor:
        """The loss, the batch's mean, 0-d. Raises as `logits`."""
        log_f = member_log_probabilities(outputs)
        of_members = -log_f.gather(2, y[:, None, None].expand(-1, log_f.shape[1], 1)).sum((1, 2))
        log_mean = _log_mean(log_f)
        loss = of_members + self.entropy_weight * (log_mean.exp() * log_mean).sum(1)
        if self.diversity_weight:
            ridge = _RIDGE * torch.eye(log_f.shape[1], dtype=torch.float64, device=log_f.device)
            loss = loss - self.diversity_weight * torch.logdet(_gram(log_f, y) + ridge).to(loss)
        return loss.mean()

    def predict(self, outputs: Outputs) -> Tensor:
        """(B,) int64, the class of the largest mean probability. Raises as `logits`."""
        return self.logits(outputs).argmax(1)

    def logits(self, outputs: Outputs) -> Tensor:
        """The logarithm of the mean probability, (B, L).

        Raises:
            TypeError: outputs are no tensor.
            ValueError: outputs of another shape.
        """
        return _log_mean(member_log_probabilities(outputs))

    def check_members(self, members: int, classes: int) -> None:
        """Warns where the optimum of the paper's corollary 1 does not exist: K does not divide L − 1."""
        if self.diversity_weight and (classes - 1) % members:
            warnings.warn(
                f"members: got {members}, which does not divide {classes - 1}, the classes without the true one: the "
                "wrong classes cannot be shared out evenly among the members (Pang et al. 2019, corollary 1)",
                stacklevel=2,
            )


def member_log_probabilities(outputs: Outputs) -> Tensor:
    """log F^k, (B, K, L), in float32 at least.

    Raises:
        TypeError: no tensor.
        ValueError: another shape, as of a network that is no ensemble.
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(f"outputs: got {type(outputs).__name__}, expected a tensor (B, members, classes)")
    if outputs.dim() != 3 or outputs.shape[2] < 2:
        raise ValueError(
            f"outputs: got shape {tuple(outputs.shape)}, expected (B, members, classes) of at least 2 classes, as of a "
            "yopo_ext.models.Ensemble"
        )
    return F.log_softmax(outputs.float() if outputs.element_size() < 4 else outputs, 2)


def ensemble_diversity(outputs: Outputs, y: Tensor) -> Tensor:
    """ED = det(M̃ᵀM̃), (B,) float64: 0 where two members agree on the wrong classes, 1 where none overlap.

    Arguments and errors as `AdaptiveDiversity.train`.
    """
    return torch.linalg.det(_gram(member_log_probabilities(outputs), y))


def _log_mean(log_f: Tensor) -> Tensor:
    return log_f.logsumexp(1) - math.log(log_f.shape[1])


def _gram(log_f: Tensor, y: Tensor) -> Tensor:
    """M̃ᵀM̃, (B, K, K), in float64: its determinant is a difference of nearly equal numbers."""
    batch, members, classes = log_f.shape
    keep = F.one_hot(y, classes)[:, None].expand(-1, members, -1) == 0
    wrong = log_f.double()[keep].reshape(batch, members, classes - 1)
    columns = F.normalize(wrong.softmax(2), dim=2)  # softmax first: all of them may underflow
    return columns @ columns.transpose(1, 2)


OBJECTIVE = NamedObjective(
    "adp",
    "cross entropy and diversity of an ensemble's members (Pang et al., ICML 2019)",
    build=lambda options: options,
    options=AdaptiveDiversity,
    of_members=True,
)
