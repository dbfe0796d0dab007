#!/usr/bin/env bash
# MNIST on a CPU: every method for the same 480 weight steps (Free: five times as many) on 7,680 images, about ten
# minutes on two cores. A cut: the papers train on 60,000 images for 40 epochs.
# Usage: bench/runs/mnist_methods.sh DATA_DIR [NAME], from the repository's root.
set -euo pipefail
name=${2:-mnist-methods}
yopo compare --dataset mnist --data-dir "$1" --methods natural,fast,free-5,yopo-5-10,pgd-10:alpha=0.05 \
    --limit-train 7680 --batch-size 128 --epochs 8 --lr 0.02 --milestones 6 --eps-warmup-epochs 3 \
    --eval-steps 40 --limit-eval 1000 --curve-images 500 --out "runs/$name"
python bench/runs/collect.py "runs/$name" "$name"
