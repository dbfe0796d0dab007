# SPDX-License-Identifier: MIT
"""Which gradient moves the first layer of Free-YOPO: a weight step after each pass, and what it does to batch norm.

    python bench/runs/free_first_layer.py --data-dir DIR

YOPO-2-1, whose weights move once for its two passes, is beside it. Recipe and attack are those of front.py.
"""

from __future__ import annotations

from experiment import Experiment, Row, run
from front import EXPERIMENT as FRONT

BUDGET = {"short": 4}
EXPERIMENT = Experiment(
    "free-first-layer",
    f"{FRONT.recipe} --limit-train 10000",
    {
        "Free-YOPO-2-1, backprop": Row("free-yopo-2-1", BUDGET, "--first-layer-grad backprop"),
        "Free-YOPO-2-1, ∂H": Row("free-yopo-2-1", BUDGET, "--first-layer-grad hamiltonian"),
        "Free-YOPO-2-1, ∂H, η drawn anew": Row("free-yopo-2-1", BUDGET, "--first-layer-grad hamiltonian --no-keep-eta"),
        "YOPO-2-1, backprop": Row("yopo-2-1", BUDGET, "--alpha 8/255 --first-layer-grad backprop"),
        "YOPO-2-1, ∂H": Row("yopo-2-1", BUDGET, "--alpha 8/255 --first-layer-grad hamiltonian"),
    },
    {"pgd-50": FRONT.attacks["pgd-50"]},
    images=FRONT.images,
    weights=FRONT.weights,
    seeds=(0,),
)

if __name__ == "__main__":
    run(EXPERIMENT)
