# SPDX-License-Identifier: MIT
"""Attacks for measuring: one kind a file, each declares itself as a `NamedAttack`."""

from .attack import ATTACKS, Attack, Budget, NamedAttack, Outcome

__all__ = ["ATTACKS", "Attack", "Budget", "NamedAttack", "Outcome"]
