#!/usr/bin/env bash
# CIFAR-10 on a GPU: PreActResNet18, every method on the same 15 epochs (Free-8: 4, each with eight weight steps a
# mini-batch), one triangle of the learning rate; and YOPO again with the ReLU inside the first layer, where n matters.
# LIMIT_S=560 stops it in time for a limit of ten minutes; the same command goes on. Writes into runs/cifar10-methods and
# runs/cifar10-relu, here.
# Usage: [SEEDS="0 1 2"] [LIMIT_S=SECONDS] bench/runs/cifar10_methods.sh DATA_DIR [yopo compare's options]
set -euo pipefail
here=$(dirname "$0")
data=$1
shift
for seed in ${SEEDS:-0}; do
    common=(--dataset cifar10 --data-dir "$data" --seed "$seed" --epochs 15 --batch-size 128 --schedule cyclic --lr 0.2
        --eval-steps 50 --limit-eval 1000 --curve-images 1000 --device cuda "$@")
    "$here/start_or_resume.sh" runs/cifar10-methods/seed-$seed "${common[@]}" \
        --methods natural,fast:alpha=10/255,yopo-5-3,yopo-3-5,free-8:epochs=4,trades-yopo-3-4,pgd-10,trades-10
    "$here/start_or_resume.sh" runs/cifar10-relu/seed-$seed "${common[@]}" --model preactresnet18-relu \
        --methods yopo-5-3,yopo-3-5,yopo-3-1
done
