#!/usr/bin/env bash
# MNIST on a CPU: every method for the same 960 mini-batches of 128 (Free: five weight steps on each), three seeds, about
# 75 minutes on two cores. PGD-40, the slowest, has one seed. A cut: the papers train on 60,000 images for 40 epochs.
# Interrupted, the same command goes on. Writes into runs/mnist-methods, here.
# Usage: [SEEDS="0 1 2"] bench/runs/mnist_methods.sh DATA_DIR [yopo compare's options]
set -euo pipefail
here=$(dirname "$0")
data=$1
shift
for seed in ${SEEDS:-0 1 2}; do
    methods=natural,fast,free-5,yopo-5-10,trades-yopo-5-10,pgd-10:alpha=0.05
    [[ $seed == 0 ]] && methods+=,pgd-40
    "$here/start_or_resume.sh" "runs/mnist-methods/seed-$seed" --dataset mnist --data-dir "$data" --methods $methods \
        --seed "$seed" --limit-train 15360 --batch-size 128 --epochs 8 --optimizer adam --lr 0.002 --milestones 6 \
        --eps-warmup-epochs 3 --eval-steps 40 --limit-eval 1000 --curve-images 256 "$@"
done
