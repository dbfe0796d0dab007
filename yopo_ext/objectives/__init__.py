# SPDX-License-Identifier: MIT
"""What is minimised: one objective a file, each a plain function of logits that returns the mean, 0-d.

Those of one forward pass are called as loss(logits, y): they serve the attack and the weight step alike, and
are what the adversaries take as `loss=`. One that compares clean with adversarial logits is called as
objective(clean_logits, adversarial_logits, y): the adversary makes both forward passes, for it alone knows in
which mode and order. Options are bound with `functools.partial`, which can be copied and pickled.
"""

from yopo_ext.objectives.cross_entropy import cross_entropy
from yopo_ext.objectives.trades import trades

__all__ = ["cross_entropy", "trades"]
