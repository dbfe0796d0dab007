# SPDX-License-Identifier: MIT
"""What the front of robust accuracy over cost is drawn from: one recipe, and the rows that differ in their method."""

from __future__ import annotations

from dataclasses import dataclass

NETWORK = "wrn-10-1"
#: Of every row. FastAT's one triangle of the learning rate serves runs of any length; the average costs nothing.
RECIPE = (
    f"--dataset cifar10 --model {NETWORK} --augment --eps 8/255 --batch-size 128 --schedule cyclic --lr 0.2 "
    "--weight-decay 5e-4 --momentum 0.9 --ewa-decay 0.999 --curve-every 1 --curve-images 500 --curve-steps 10 "
    "--limit-eval 500 --eval-steps 10 --device cpu"
)
#: Cost of an image in forward passes of the network: what an experiment may spend in all.
BUDGETS = (30, 90)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Row:
    """A method of the comparison.

    Attributes:
        method: as on the command line.
        units: what an image of an epoch costs, as the formulas say; decides the number of epochs. What it cost is
            counted in the run.
        settings: options that are this row's own.
        why: what the row is there for.
    """

    method: str
    units: float
    settings: str
    why: str

    def epochs(self, budget: float) -> int:
        """As many as come nearest to the budget; at least one."""
        return max(1, round(budget / self.units))


ROWS = {
    "FGSM-RS": Row("fast", 5, "", "one step of 1.25 eps from a random start"),
    "N-FGSM": Row("n-fgsm", 5, "", "one step of eps from noise of 2 eps"),
    "PGD-2": Row("pgd-2", 7, "--alpha 8/255", "two steps of eps"),
    "Free-4": Row("free-4", 12, "", "four passes, a weight step after each"),
    "YOPO-5-3": Row("yopo-5-3", 15, "--alpha 2/255", "as published, on a linear first layer"),
    "PGD-10": Row("pgd-10", 23, "--alpha 2/255", "the usual attack"),
}
