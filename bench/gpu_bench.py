# SPDX-License-Identifier: MIT
"""The benchmark cases on a GPU: our kernels and the competitors on the same tensors, cold L2, device events.

    python bench/gpu_bench.py TARGET      # writes TARGET/gpu_bench.json and TARGET/gpu_bench.png
    python bench/gpu_bench.py TARGET --cases cifar-relu,mnist-head
    python bench/gpu_bench.py --dry-run   # small cases on the CPU, one round: does the script itself work?

"ours" is the cuda backend, "triton" the triton one; a backend that declines a case has its reason as the error.
The dry run computes "ours" by the torch backend, and "triton" only in Triton's interpreter (TRITON_INTERPRET=1).
The floor of a case is the time of a copy kernel that moves as many bytes, measured the same way.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

import yopo_ext
from yopo_ext.benchmark.cases import CASES, Case
from yopo_ext.benchmark.contenders import authors_loop, compiled_loop, lean_loop
from yopo_ext.benchmark.timing import in_a_graph, quantile, seconds_on_cpu, seconds_on_gpu

Run = Callable[[], object]
MNIST = next(case for case in CASES if case.name == "mnist-head")
#: And what a trainer's autocast makes of MNIST's.
ON_A_GPU = [*CASES, replace(MNIST, name="mnist-head-bf16-nhwc", p_dtype=torch.bfloat16, channels_last=True)]


def ours(case: Case, t: dict[str, Tensor], precision: str, backend: str) -> Run:
    return lambda: yopo_ext.inner_ascent(**t, **case.options, precision=precision, backend=backend)


def contenders(case: Case, t: dict[str, Tensor], on_gpu: bool) -> dict[str, Callable[[], Run]]:
    """Makers, because compiling and capturing may fail for one and not for the others."""
    made: dict[str, Callable[[], Run]] = {
        f"{name}-{precision}": partial(ours, case, t, precision, backend)
        for name, backend in (("ours", "cuda" if on_gpu else "torch"), ("triton", "triton"))
        for precision in ("high", "highest")
    }
    if on_gpu:
        made |= {f"{name}-graph": lambda make=make: in_a_graph(make()) for name, make in made.items()}
    made["authors"] = lambda: authors_loop(case, t)
    made["lean"] = lambda: lean_loop(case, t)
    if on_gpu:
        made["compiled"] = lambda: compiled_loop(case, t)
        made["lean-graph"] = lambda: in_a_graph(lean_loop(case, t))
        made["compiled-graph"] = lambda: in_a_graph(compiled_loop(case, t))
        made["copy"] = lambda: copy_of_as_many_bytes(case)
    return made


def copy_of_as_many_bytes(case: Case) -> Run:
    source = torch.ones(int(case.bytes) // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return in_a_graph(lambda: target.copy_(source))


def measure(case: Case, device: str, rounds: int) -> dict[str, object]:
    tensors = case.tensors(device)
    results: dict[str, dict[str, object]] = {}
    for name, make in contenders(case, tensors, device == "cuda").items():
        try:
            run = make()
            times = seconds_on_gpu(run, rounds) if device == "cuda" else seconds_on_cpu(run, rounds)
        except Exception as error:  # one contender's failure is a result too
            results[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            continue
        results[name] = {"median": median(times), "q10": quantile(times, 0.1), "q90": quantile(times, 0.9)}
    return {"bytes": case.bytes, "flops": case.flops, "contenders": with_ratios(results)}


def with_ratios(results: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    floor = results.get("copy", {}).get("median")
    for name, mine in results.items():
        backend = name.split("-")[0]
        if backend not in ("ours", "triton") or "median" not in mine:
            continue
        mine["times_faster_than"] = {
            other: found["median"] / mine["median"]
            for other, found in results.items()
            if "median" in found and not other.startswith(backend) and other != "copy"
        }
        if floor:
            mine["fraction_of_floor"] = floor / mine["median"]
    return results


def machine(device: str) -> dict[str, object]:
    found: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "yopo_ext": yopo_ext.__version__,
        "platform": platform.platform(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "memory": properties.total_memory,
        }
    return found


def plot(document: dict[str, dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = document["cases"]
    names = sorted({name for case in cases.values() for name in case["contenders"]})
    figure, axes = pyplot.subplots(figsize=(11, 5))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        found = [(at, case["contenders"].get(name, {}).get("median")) for at, case in enumerate(cases.values())]
        bars = [(at + i * width, value * 1e6) for at, value in found if value]
        if bars:
            axes.bar(*zip(*bars, strict=True), width=width, label=name)
    axes.set_yscale("log")
    axes.set_ylabel("µs a call (median)")
    axes.set_xticks([at + 0.4 for at in range(len(cases))], list(cases), rotation=20, ha="right")
    axes.set_title(str(document["machine"].get("gpu", document["machine"]["platform"])))
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="out", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--cases", help="some of them, comma-separated")
    parser.add_argument("--dry-run", action="store_true", help="one round of small cases on the CPU")
    arguments = parser.parse_args()
    device, rounds = "cuda", arguments.rounds
    names = arguments.cases.split(",") if arguments.cases else [case.name for case in ON_A_GPU]
    cases = [{case.name: case for case in ON_A_GPU}[name] for name in names]
    if arguments.dry_run:
        device, rounds = "cpu", 1
        cases = [replace(case, batch=1, size=min(case.size, 32)) for case in cases]
    document = {"machine": machine(device), "cases": {}}
    arguments.target.mkdir(parents=True, exist_ok=True)
    for case in cases:
        document["cases"][case.name] = measure(case, device, rounds)
        (arguments.target / "gpu_bench.json").write_text(json.dumps(document, indent=1))
        print(case.name, json.dumps(document["cases"][case.name]["contenders"]), flush=True)
    if find_spec("matplotlib") is not None:
        plot(document, arguments.target / "gpu_bench.png")


if __name__ == "__main__":
    main()
