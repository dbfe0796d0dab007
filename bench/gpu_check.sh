#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that needs a GPU, in order of worth, within a budget of time, offline. What a step writes is kept as soon as
# it ends; a second call goes on where the first stopped, and does not repeat what has passed or failed.
#
#     bench/gpu_check.sh                       # all of it; results go to out/gpu
#     BUDGET_S=540 bench/gpu_check.sh          # stops in time, with status 3 where something is left
#     STEPS="build tests" bench/gpu_check.sh   # these steps only, again if need be
#     DRY_RUN=1 bench/gpu_check.sh             # on a machine without a GPU: all but the GPU's part
#
# TARGET: where results go (out/gpu). OUT: a folder that gets them as gpu.tgz after each step. PYTHON: python3.
# LEAST_S: no step begins with less time left than this (15 s). Steps: build, smoke (every kernel on small problems),
# correctness (against float64), benchmark, four training steps, counters (ncu beside the counted machine code), tests,
# triton-tests, and compute-sanitizer's memcheck, racecheck, initcheck and synccheck.
# Needs python3 with torch, numpy, pytest and pybind11; cmake, ninja, g++ and nvcc. What else is there is used: hypothesis,
# triton, matplotlib, pytest-xdist, ncu, compute-sanitizer. Nothing is installed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
dry_run=${DRY_RUN:-}
budget=${BUDGET_S:-1000000}
least=${LEAST_S:-15}
mkdir -p "${TARGET:-out/gpu}"
target=$(cd "${TARGET:-out/gpu}" && pwd)
record=$target/steps.jsonl
export PYTHONPATH="$PWD:$PWD/python_tests:$PWD/bench:$PWD/bench/machine_code${PYTHONPATH:+:$PYTHONPATH}"
export YOPO_TEST_BUILD="$target/tests" TARGET="$target" OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
mkdir -p "$YOPO_TEST_BUILD"

has() { "$python" -c "import $1" 2>/dev/null; }

run_build() {
    local archs=${YOPO_EXT_CUDA_ARCHS:-}
    if [ -z "$archs" ] && [ -z "$dry_run" ]; then
        archs=$("$python" -c "import torch; print('%d%d' % torch.cuda.get_device_capability())") || return 1
    fi
    cmake -S . -B "$target/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DYOPO_EXT_CUDA=on \
        -DYOPO_EXT_CUDA_ARCHS="${archs:-90}" -DPython_EXECUTABLE="$(command -v "$python")" \
        -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/yopo_ext" &&
        cmake --build "$target/build" --target _native
}

run_smoke() { "$python" bench/gpu_small_set.py ${dry_run:+--dry-run}; }

run_tests_named() { # run_tests_named SELECTION FILES...: side by side with pytest-xdist; most time goes into references
    local selection=$1 files=() parallel=
    shift
    has xdist && parallel="-n $(($(nproc) < 12 ? $(nproc) : 12))"
    for file in "$@"; do
        if has hypothesis || ! grep -q "hypothesis" "$file"; then files+=("$file"); fi
    done
    "$python" -m pytest -q $parallel "${files[@]}" -k "$selection" -rs
}

run_correctness() {
    if [ -n "$dry_run" ]; then
        "$python" -m pytest -q python_tests/cuda/test_refusal.py
    else
        run_tests_named "cuda_on_gpu or on_a_gpu" python_tests/cuda/test_high_precision.py python_tests/cuda/test_on_a_gpu.py
    fi
}

run_benchmark() { "$python" bench/gpu_bench.py "$target" ${dry_run:+--dry-run}; }

run_counters() { "$python" bench/gpu_counters.py --json "$target/counters.json" ${dry_run:+--dry-run}; }

run_training_step() { # run_training_step MODEL NAME OPTIONS...: eager; or with everything on
    local model=$1 name=$2 device=cuda rounds=30
    shift 2
    if [ -n "$dry_run" ]; then
        device=cpu rounds=1
        set --
    fi
    "$python" bench/training_step.py --device $device --model "$model" --rounds 1 --repetitions $rounds "$@" \
        --json "$target/training-step-$name.json"
}
run_smallcnn() { run_training_step smallcnn smallcnn; }
run_smallcnn-graphed() { run_training_step smallcnn smallcnn-graphed --compile --cuda-graph; }
run_preactresnet18() { run_training_step preactresnet18 preactresnet18; }
run_preactresnet18-graphed() { run_training_step preactresnet18 preactresnet18-graphed --compile --cuda-graph; }

run_tests() {
    run_tests_named "cuda_on_gpu or on_a_gpu" python_tests/test_differential.py python_tests/test_edge_cases.py \
        python_tests/test_invariants.py python_tests/cuda/test_streamed.py python_tests/training/test_cuda_graph.py
}
run_triton-tests() {
    run_tests_named "triton_on_gpu or on_a_gpu" python_tests/test_differential.py \
        python_tests/triton_kernels/test_on_a_gpu.py
}

sanitize() { # sanitize TOOL: on the small set, and on few of it with the slow tools
    local options=() few=(--few)
    # Errors of the driver that torch and the runtime live with, as a function that an older driver lacks.
    [ "$1" = memcheck ] && options=(--report-api-errors no) few=()
    compute-sanitizer --tool "$1" "${options[@]}" --error-exitcode 9 --target-processes all \
        "$python" bench/gpu_small_set.py "${few[@]}"
}
run_memcheck() { sanitize memcheck; }
run_racecheck() { sanitize racecheck; }
run_initcheck() { sanitize initcheck; }
run_synccheck() { sanitize synccheck; }

# A step is a process of its own, so that it can be stopped in time.
if [ "${1:-}" = run ]; then
    "run_$2"
    exit
fi

outcome_of() { sed -n "s/^{\"step\": \"$1\", \"outcome\": \"\(passed\|failed\)\".*/\1/p" "$record" 2>/dev/null | tail -n 1; }

note() { # note STEP OUTCOME SECONDS
    printf '{"step": "%s", "outcome": "%s", "seconds": %d}\n' "$1" "$2" "$3" >>"$record"
    if [ -n "${OUT:-}" ]; then
        (cd "$target" && find . -maxdepth 1 -type f | tar --create --gzip --files-from - --file "$OUT/gpu.tgz.part") &&
            mv "$OUT/gpu.tgz.part" "$OUT/gpu.tgz"
    fi
}

failed=() left=()
step() { # step NAME: runs it, keeps its output, remembers how it ended
    local name=$1 begin=$SECONDS status time_left=$((budget - SECONDS))
    if [ -n "${STEPS:-}" ]; then
        [[ " $STEPS " == *" $name "* ]] || return 0
    elif [ -n "$(outcome_of "$name")" ]; then
        echo "== $name: $(outcome_of "$name") before"
        [ "$(outcome_of "$name")" = failed ] && failed+=("$name")
        return 0
    fi
    if [ "$time_left" -lt "$least" ]; then
        left+=("$name")
        return 0
    fi
    echo "== $name"
    timeout --kill-after=5 "$time_left" "$BASH" bench/gpu_check.sh run "$name" >"$target/$name.log" 2>&1
    status=$?
    if [ $status = 0 ]; then
        note "$name" passed $((SECONDS - begin))
        echo "   passed in $((SECONDS - begin)) s"
    elif [ $((SECONDS - begin)) -ge "$time_left" ]; then
        note "$name" stopped $((SECONDS - begin))
        left+=("$name")
        echo "   stopped after $((SECONDS - begin)) s: the time is up"
    else
        note "$name" failed $((SECONDS - begin))
        failed+=("$name")
        echo "   FAILED in $((SECONDS - begin)) s; the end of $target/$name.log:"
        tail -n 15 "$target/$name.log"
    fi
}

steps=(build smoke correctness benchmark)
steps+=(smallcnn smallcnn-graphed preactresnet18 preactresnet18-graphed)
if [ -n "$dry_run" ] || command -v ncu >/dev/null; then steps+=(counters); else echo "== no ncu here"; fi
if [ -z "$dry_run" ]; then
    steps+=(tests)
    if has triton; then steps+=(triton-tests); else echo "== no triton here"; fi
    if command -v compute-sanitizer >/dev/null; then
        steps+=(memcheck racecheck initcheck synccheck)
    else
        echo "== no compute-sanitizer here"
    fi
fi
for name in "${steps[@]}"; do step "$name"; done

echo
[ ${#left[@]} = 0 ] || echo "left for another call: ${left[*]}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
[ ${#left[@]} = 0 ] || exit 3
echo "all passed; results in $target"
