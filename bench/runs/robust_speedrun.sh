#!/usr/bin/env bash
# Robust accuracy on CIFAR-10 in BUDGET_S seconds of training on one GPU, offline, in one call: two short trials choose the
# number of epochs, a run trains for it, PGD-50-10 and AutoAttack measure it on 1,000 test images.
#
#     DATA_DIR=DIR bench/runs/robust_speedrun.sh                      # preset cifar10-speedrun, 60 s; results in out/speedrun
#     DATA_DIR=DIR BUDGET_S=30 PRESETS="cifar10-speedrun-resnet18" OUT=DIR bench/runs/robust_speedrun.sh
#     DATA_DIR=DIR DRY_RUN=1 bench/runs/robust_speedrun.sh            # on a CPU: wrn-10-1, few images, short attacks
#
# DATA_DIR: with CIFAR-10. OUT: gets a JSON and a log a preset, written after each stage. TARGET: the runs' folders
# (out/speedrun). SMALL_FIRST=1: images are small in the first epochs. EXTRA: more options of `yopo train`, as
# "--method fast --lr 0.3". PACES: the JSON of an earlier run here whose method and shapes were the same: no trials.
# ATTACKS: "pgd-50-10 autoattack".
# PYTHON: python3, with yopo_ext or its dependencies, and pyautoattack for AutoAttack (a folder of it in PYTHONPATH will do).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${TARGET:-out/speedrun}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
read -ra presets <<<"${PRESETS:-cifar10-speedrun}"
read -ra attacks <<<"${ATTACKS:-pgd-50-10 autoattack}"
for preset in "${presets[@]}"; do
    "${PYTHON:-python3}" "$here/robust_speedrun.py" "$preset" --data-dir "${DATA_DIR:?the folder with CIFAR-10}" \
        --budget "${BUDGET_S:-60}" --out "${OUT:-$target}" --target "$target" --attacks "${attacks[@]}" \
        ${DRY_RUN:+--dry-run} ${SMALL_FIRST:+--small-first} ${PACES:+--paces "$PACES"} --extra "${EXTRA:-}"
done
