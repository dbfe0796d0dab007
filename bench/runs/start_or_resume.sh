#!/usr/bin/env bash
# Starts the comparison in FOLDER, goes on with one that was interrupted, or leaves a finished one alone.
# With LIMIT_S=SECONDS in the environment it is stopped after so long, resumable (exit status 124): run it again.
# Usage: [LIMIT_S=SECONDS] bench/runs/start_or_resume.sh FOLDER [yopo compare's options]
set -euo pipefail
folder=$1
shift
limit=()
[[ -z ${LIMIT_S:-} ]] || limit=(timeout --signal=TERM "$LIMIT_S")
if [[ -f $folder/summary.json ]]; then
    echo "$folder: finished before"
elif compgen -G "$folder/*/config.json" >/dev/null; then
    "${limit[@]}" yopo compare --resume "$folder"
else
    "${limit[@]}" yopo compare "$@" --out "$folder"
fi
