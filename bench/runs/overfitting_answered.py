# SPDX-License-Identifier: MIT
"""What a run's alarm and its answer do where single-step training collapses: FGSM on a single-layer network, ε 16/255.

    python bench/runs/overfitting_answered.py --data-dir DIR [--seeds 0 1 2]

The network, its optimiser and rate are those of Andriushchenko and Flammarion (NeurIPS 2020, section 4), but for 16
filters, a larger ε and no crops.
"""

from __future__ import annotations

import single_layer
from experiment import Experiment, Row, run

BUDGET = {"full": 12}
EXPERIMENT = Experiment(
    "overfitting-answered",
    f"--dataset cifar10 --model {single_layer.NETWORK.name} --eps 16/255 --batch-size 128 --optimizer adam --lr 0.01 "
    "--weight-decay 5e-4 --schedule cyclic --no-augment --curve-every 1 --curve-images 500 --curve-steps 10 "
    "--limit-eval 500 --eval-steps 10",
    {
        "FGSM": Row("fast", BUDGET, "--start zero --alpha 16/255"),
        "FGSM, restart": Row("fast", BUDGET, "--start zero --alpha 16/255 --on-overfitting restart"),
        "FGSM-RS": Row("fast", BUDGET),
    },
    {"pgd-50": "--attacks clean pgd --losses ce margin --steps 50 --alpha 4/255"},
    images=500,
    seeds=(0,),
)

if __name__ == "__main__":
    run(EXPERIMENT)
