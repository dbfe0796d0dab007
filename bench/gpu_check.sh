#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that needs a GPU, in one command of about ten minutes, offline: builds in place for the GPU found, tests the
# kernels, runs compute-sanitizer where there is one, and measures.
#
#     TARGET=out/gpu bench/gpu_check.sh        # results go to TARGET
#     STEPS="build tests" bench/gpu_check.sh   # some of its steps only, where commands have a time limit
#     DRY_RUN=1 bench/gpu_check.sh             # on a machine without a GPU: all but the GPU's part
#
# Steps: build tests triton-tests memcheck racecheck initcheck synccheck benchmark training-step.
# Needs python3 with torch, numpy, pytest, hypothesis, pybind11, matplotlib; cmake, ninja, g++ and nvcc.
# With triton there, its backend is tested and measured too; bench/tune_triton.py, which takes longer, tunes it.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
target=${TARGET:-out/gpu}
dry_run=${DRY_RUN:-}
mkdir -p "$target"
target=$(cd "$target" && pwd)
export PYTHONPATH="$PWD:$PWD/python_tests:$PWD/bench${PYTHONPATH:+:$PYTHONPATH}" YOPO_TEST_BUILD="$target"
failed=()
# With pytest-xdist the tests run side by side: most of their time goes into compiling and into the CPU's reference.
parallel=
"$python" -c "import xdist" 2>/dev/null && parallel="-n $(($(nproc) < 12 ? $(nproc) : 12))"

step() { # step NAME COMMAND...: runs it, keeps its output, remembers a failure
    local name=$1
    shift
    [[ -z ${STEPS:-} || " $STEPS " == *" $name "* ]] || return 0
    local begin=$SECONDS
    echo "== $name"
    if "$@" >"$target/$name.log" 2>&1; then
        echo "   passed in $((SECONDS - begin)) s"
    else
        failed+=("$name")
        echo "   FAILED in $((SECONDS - begin)) s; the end of $target/$name.log:"
        tail -n 15 "$target/$name.log"
    fi
}

build() {
    local archs=${YOPO_EXT_CUDA_ARCHS:-}
    if [ -z "$archs" ] && [ -z "$dry_run" ]; then
        archs=$("$python" -c "import torch; print('%d%d' % torch.cuda.get_device_capability())")
    fi
    cmake -S . -B "$target/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DYOPO_EXT_CUDA=on \
        -DYOPO_EXT_CUDA_ARCHS="${archs:-90}" -DPython_EXECUTABLE="$(command -v "$python")" \
        -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/yopo_ext" &&
        cmake --build "$target/build" --target _native
}

sanitize() { # sanitize TOOL: on a small set
    local options=()
    # Errors of the driver that torch and the runtime live with, as a function that an older driver lacks.
    [ "$1" = memcheck ] && options=(--report-api-errors no)
    compute-sanitizer --tool "$1" "${options[@]}" --error-exitcode 9 --target-processes all \
        "$python" bench/gpu_small_set.py
}

training_steps() { # the whole step: its parts, then with everything on
    for model in smallcnn preactresnet18; do
        "$python" bench/training_step.py --device cuda --model $model --rounds 1 --repetitions 30 \
            --json "$target/training-step-$model.json" &&
            "$python" bench/training_step.py --device cuda --model $model --rounds 1 --repetitions 30 --compile --cuda-graph \
                --json "$target/training-step-$model-compiled-graphed.json" || return 1
    done
}

step build build
if [ -n "$dry_run" ]; then
    step tests "$python" -m pytest -q python_tests/cuda/test_high_precision.py
    step small-set "$python" bench/gpu_small_set.py --dry-run
    step benchmark "$python" bench/gpu_bench.py "$target" --dry-run
    if "$python" -c "import triton" 2>/dev/null; then
        step tilings "$python" bench/tune_triton.py --dry-run --limit 1
    fi
else
    step tests "$python" -m pytest -q $parallel python_tests/test_differential.py python_tests/test_edge_cases.py \
        python_tests/test_invariants.py python_tests/cuda/test_high_precision.py python_tests/cuda/test_streamed.py \
        python_tests/cuda/test_on_a_gpu.py python_tests/training/test_cuda_graph.py -k "cuda_on_gpu or on_a_gpu" -rs
    # A step of its own: Triton compiles every shape anew.
    step triton-tests "$python" -m pytest -q $parallel python_tests/test_differential.py \
        python_tests/triton_kernels/test_on_a_gpu.py -k "triton_on_gpu or on_a_gpu" -rs
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck initcheck synccheck; do
            step $tool sanitize $tool
        done
    else
        echo "== no compute-sanitizer here"
    fi
    step benchmark "$python" bench/gpu_bench.py "$target"
    step training-step training_steps
fi

echo
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all passed; results in $target"
