# SPDX-License-Identifier: MIT
"""Whether AutoAttack confirms what other attacks show: a gain under these alone is none."""

from __future__ import annotations

from collections.abc import Mapping

from .attacks.attack import Attack
from .attacks.autoattack import AutoAttack

#: Percentage points by which the other attacks may be weaker.
POINTS = 2.0


def confirmation(robust: Mapping[str, float], attacks: Mapping[str, Attack]) -> str:
    """A sentence that puts AutoAttack beside the strongest other attack; empty where there is nothing to say.

    Without AutoAttack there is one where an attack climbs an objective's own loss: such objectives are what plain PGD
    overrates.

    Args:
        robust: accuracies in percent, by label.
        attacks: the attacks, by label.
    """
    auto = [label for label, attack in attacks.items() if isinstance(attack, AutoAttack)]
    others = [label for label in attacks if label not in auto]
    if not others:
        return ""
    if not auto:
        own = any(getattr(attack, "loss", None) == "objective" for attack in attacks.values())
        return "not confirmed by AutoAttack (--attacks ... autoattack), without which a gain is none" if own else ""
    least, strongest = min((robust[label], label) for label in others)
    confirmed = min(robust[label] for label in auto)
    found = f"AutoAttack {confirmed:.2f} % beside {least:.2f} % under {strongest}"
    if least - confirmed <= POINTS:
        return f"{found}: confirmed"
    return f"{found}: the {least - confirmed:.2f} points between them are no robustness"
