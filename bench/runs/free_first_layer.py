# SPDX-License-Identifier: MIT
"""Which gradient moves the first layer of Free-YOPO: a weight step after each pass, and what it does to batch norm.

    python bench/runs/free_first_layer.py --data-dir DIR

YOPO-2-1, whose weights move once for its two passes, is beside it.
"""

from __future__ import annotations

from experiment import Experiment, Row, run

BUDGET = {"short": 4}
EXPERIMENT = Experiment(
    "free-first-layer",
    "--dataset cifar10 --limit-train 10000 --model wrn-10-1 --augment --eps 8/255 --batch-size 128 --schedule cyclic "
    "--lr 0.2 --weight-decay 5e-4 --momentum 0.9 --ewa-decay 0.999 --curve-every 1 --curve-images 500 --curve-steps 10 "
    "--limit-eval 500 --eval-steps 10",
    {
        "Free-YOPO-2-1, backprop": Row("free-yopo-2-1", BUDGET, "--first-layer-grad backprop"),
        "Free-YOPO-2-1, ∂H": Row("free-yopo-2-1", BUDGET, "--first-layer-grad hamiltonian"),
        "Free-YOPO-2-1, ∂H, η drawn anew": Row("free-yopo-2-1", BUDGET, "--first-layer-grad hamiltonian --no-keep-eta"),
        "YOPO-2-1, backprop": Row("yopo-2-1", BUDGET, "--alpha 8/255 --first-layer-grad backprop"),
        "YOPO-2-1, ∂H": Row("yopo-2-1", BUDGET, "--alpha 8/255 --first-layer-grad hamiltonian"),
    },
    {"pgd-50": "--attacks clean pgd --losses ce margin --steps 50 --alpha 2/255"},
    images=500,
    weights=("last", "average"),
    seeds=(0,),
)

if __name__ == "__main__":
    run(EXPERIMENT)
