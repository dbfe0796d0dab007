# SPDX-License-Identifier: MIT
"""Robust accuracy over cost: methods side by side on CIFAR-10, each for as many epochs as a budget pays.

    python bench/runs/front.py --data-dir DIR [--budgets 30 90] [--seeds 0 1 2] [--rows FGSM-RS N-FGSM ...]

Cost is counted in forward passes of the network an image; budgets are such units, in all.
"""

from __future__ import annotations

from experiment import Experiment, Row, run
from small_first import SHARES, small_first

BUDGETS = (30, 90)
#: Batch norm's statistics of the average: averaged as the weights are, or recomputed, as is the default behind ∂H.
AVERAGED, ITS_OWN = "--ewa-bn-batches 0", "--ewa-bn-batches 4"


def row(method: str, units: float, settings: str = "") -> Row:
    """A method whose epoch costs so many units an image, as the formulas say; what it cost is counted in the run."""
    return Row(method, {str(budget): max(1, round(budget / units)) for budget in BUDGETS}, settings)


def small_images_first(method: str) -> Row:
    """As many epochs at each size as cost what a budget's whole ones do."""
    epochs = {str(budget): [share * budget // BUDGETS[0] for share in SHARES] for budget in BUDGETS}
    of_budget = {budget: small_first(counts) for budget, counts in epochs.items()}
    return Row(method, {budget: sum(counts) for budget, counts in epochs.items()}, of_budget=of_budget)


EXPERIMENT = Experiment(
    "front",
    # FastAT's triangle of the learning rate serves runs of any length. The average costs nothing.
    "--dataset cifar10 --model wrn-10-1 --augment --eps 8/255 --batch-size 128 --schedule cyclic --lr 0.2 "
    "--weight-decay 5e-4 --momentum 0.9 --ewa-decay 0.999 --curve-every 1 --curve-images 500 --curve-steps 10 "
    "--limit-eval 500 --eval-steps 10",
    {
        "FGSM-RS": row("fast", 5),
        "FGSM-RS, batches of 64": row("fast", 5, "--batch-size 64 --lr 0.1"),
        "N-FGSM": row("n-fgsm", 5),
        "FGSM-RS, small images first": small_images_first("fast"),
        "N-FGSM, small images first": small_images_first("n-fgsm"),
        "PGD-2": row("pgd-2", 7, "--alpha 8/255"),
        "Free-4": row("free-4", 12),
        "YOPO-5-3": row("yopo-5-3", 15, f"--alpha 2/255 {AVERAGED}"),
        "YOPO-5-3, own statistics": row("yopo-5-3", 15, f"--alpha 2/255 {ITS_OWN}"),
        "PGD-10": row("pgd-10", 23, "--alpha 2/255"),
        "previous epoch, consistent": row(
            "fast", 5, "--start previous-epoch --consistency 10 --consistency-outputs detached"
        ),
        # λ grows to its whole over as long as a run of 30 units is.
        "previous epoch, consistent, ramp": row(
            "fast",
            5,
            "--start previous-epoch --consistency 10 --consistency-outputs detached --consistency-ramp 6",
        ),
        "class prior": row("fast", 5, "--start class"),
        # The prefix has 41 % of this network's multiply-adds, and a step goes through it forth and back.
        "YOPO-attack-1-3, first block": row("yopo-attack-1-3", 2 + 5 * 0.41 + 3, "--cut block1.layer.0"),
        "Free-YOPO-2-1": row("free-yopo-2-1", 6),
        "Free-YOPO-2-1, ∂H": row("free-yopo-2-1", 6, f"--first-layer-grad hamiltonian {AVERAGED}"),
        "Free-YOPO-2-1, ∂H, own statistics": row("free-yopo-2-1", 6, f"--first-layer-grad hamiltonian {ITS_OWN}"),
    },
    {
        "pgd-50": "--attacks clean pgd --losses ce margin --steps 50 --alpha 2/255",
        "autoattack": "--attacks clean --autoattack",
    },
    images=500,
    weights=("last", "average"),
)

if __name__ == "__main__":
    run(EXPERIMENT)
