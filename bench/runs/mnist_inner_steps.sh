#!/usr/bin/env bash
# What the n inner steps buy where the first layer has a ReLU: YOPO-5-n on the cut of mnist_methods.sh with n = 1, 2 and
# 10 steps of the same reach n · alpha, one seed, about twelve minutes on two cores. Interrupted, the same command goes
# on. Writes into runs/mnist-inner-steps, here.
# Usage: bench/runs/mnist_inner_steps.sh DATA_DIR [yopo compare's options]
set -euo pipefail
here=$(dirname "$0")
data=$1
shift
"$here/start_or_resume.sh" runs/mnist-inner-steps/seed-0 --dataset mnist --data-dir "$data" \
    --methods yopo-5-1:alpha=0.1,yopo-5-2:alpha=0.05,yopo-5-10:alpha=0.01 \
    --limit-train 15360 --batch-size 128 --epochs 8 --optimizer adam --lr 0.002 --milestones 6 \
    --eps-warmup-epochs 3 --eval-steps 40 --limit-eval 1000 --curve-images 256 "$@"
