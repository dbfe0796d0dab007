# SPDX-License-Identifier: MIT
"""MNIST at the papers' full length: 60,000 images, 40 epochs of YOPO-5-10, and its neighbours at the same cost.

    python bench/runs/mnist_full_length.py --data-dir DIR [--rows YOPO-5-10 Free-5 PGD-10]

Units an image and epoch, as counted: YOPO-5-10 17.3, for its first layer gets both gradients, Free-5 15, PGD-10 23.
That is about 75 minutes on two quiet cores with AVX-512, with AVX2 some three hours to judge by first mini-batches, and
half a minute on an H100 with --device cuda --extra "--cuda-graph --drop-last".
"""

from __future__ import annotations

from experiment import Experiment, Row, run

EPOCHS = 40
# A neighbour's milestones are at the same shares of its run.
EXPERIMENT = Experiment(
    "mnist-full-length",
    "--dataset mnist --model smallcnn --eps 0.3 --batch-size 256 --eval-steps 40 --eval-alpha 0.01 --curve-every 5 "
    "--curve-images 1000",
    {
        "YOPO-5-10": Row(
            "yopo-5-10",
            {"full": EPOCHS},
            "--reduction sum --first-layer-grad both --alpha 0.01 --lr 0.01/5 --milestones 30 35 39 "
            "--first-layer-milestones 15 19",
        ),
        "YOPO-5-10, twice the rate": Row(
            "yopo-5-10",
            {"full": EPOCHS},
            "--reduction sum --first-layer-grad both --alpha 0.01 --lr 0.02/5 --milestones 30 35 39 "
            "--first-layer-milestones 15 19",
        ),
        "Free-5": Row("free-5", {"full": EPOCHS}, "--lr 0.01 --milestones 30 35 39"),
        "PGD-10": Row("pgd-10", {"full": round(EPOCHS * 15 / 23)}, "--alpha 0.05 --lr 0.01 --milestones 20 23 25"),
    },
    {
        "pgd-40": "--attacks clean pgd --losses ce --steps 40 --alpha 0.01",
        "pgd-50-10": "--attacks clean pgd --losses ce margin --steps 50 --restarts 10",
    },
    images=1000,
    seeds=(0,),
)

if __name__ == "__main__":
    run(EXPERIMENT)
