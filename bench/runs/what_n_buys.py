# SPDX-License-Identifier: MIT
"""What n buys, by trainings: one full pass finds the co-state, then n steps through a prefix of four kinds.

    python bench/runs/what_n_buys.py --data-dir DIR

One network, cut at four places, and for every n the same epochs of 10,000 CIFAR-10 images: what is compared is
robustness for the same full passes. The step is 1.25 eps over n, at least a quarter of eps. The first step follows the
true gradient, whatever the cut: n = 0 and n = 1 are one training for each network.
"""

from __future__ import annotations

from experiment import Experiment, Row, run

WITHOUT_CUT, STEPS = (0, 1), (3, 10)
NETWORKS = {
    "conv": "resnet8",
    "conv, ReLU": "resnet8-relu",
    "conv, BN, ReLU": "resnet8",
    "stem, first block": "resnet8",
}
CUTS = {"conv, BN, ReLU": "--cut relu1", "stem, first block": "--cut layer1.0"}
RADII = (8, 16)
EPOCHS = 8


def name(prefix: str, eps: int, n: int) -> str:
    """Of a row: one prefix, radius (in 1/255) and n."""
    return f"{NETWORKS[prefix] if n in WITHOUT_CUT else prefix}, eps {eps}, n {n}"


def row(prefix: str, eps: int, n: int) -> Row:
    """Its training."""
    alpha = eps * max(1.25 / max(n, 1), 0.25)
    cut = "" if n in WITHOUT_CUT else CUTS.get(prefix, "")
    settings = f"--model {NETWORKS[prefix]} --eps {eps}/255 --alpha {alpha:g}/255 {cut}"
    return Row(f"yopo-attack-1-{n}", {"short": EPOCHS}, settings.strip())


EXPERIMENT = Experiment(
    "what-n-buys",
    "--dataset cifar10 --limit-train 10000 --augment --batch-size 128 --schedule cyclic --lr 0.2 --weight-decay 5e-4 "
    "--momentum 0.9 --ewa-decay 0.999 --curve-every 2 --curve-images 500 --curve-steps 10 --limit-eval 500 "
    "--eval-steps 10",
    {name(prefix, eps, n): row(prefix, eps, n) for eps in RADII for n in (*WITHOUT_CUT, *STEPS) for prefix in NETWORKS},
    {"pgd-50": "--attacks clean pgd --losses ce margin --steps 50"},
    images=500,
    weights=("average",),
)

if __name__ == "__main__":
    run(EXPERIMENT)
