#!/usr/bin/env bash
# The final networks of a comparison under stronger attacks: PGD-20 and PGD-50 with 10 restarts on N images, AutoAttack
# (pip install 'yopo-ext[autoattack]') on the first K of them. What is there already is not measured again.
# Usage: bench/runs/attack_finals.sh COMPARISON_FOLDER [N [K [yopo evaluate's options]]]
set -euo pipefail
folder=$1 images=${2:-1000} hard=${3:-200}
shift $(($# < 3 ? $# : 3))

measure() { # measure FILE OPTIONS...: yopo evaluate --json into FILE, if it is not there
    local file=$1
    shift
    [[ -f $file ]] && return
    echo "$file"
    yopo evaluate "$@" --json >"$file.part"
    mv "$file.part" "$file"
}

for config in "$folder"/*/config.json; do
    run=$(dirname "$config")
    measure "$run/pgd-20.json" "$run" --limit "$images" --losses ce --steps 20 "$@"
    measure "$run/pgd-50-10.json" "$run" --limit "$images" --losses ce --steps 50 --restarts 10 "$@"
    measure "$run/autoattack.json" "$run" --limit "$hard" --attacks clean --autoattack "$@"
done
