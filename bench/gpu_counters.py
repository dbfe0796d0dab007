# SPDX-License-Identifier: MIT
"""What Nsight Compute counts on a GPU beside what was counted in the machine code, case by case.

    python bench/gpu_counters.py --json FILE    # needs ncu, and the right to read counters
    python bench/gpu_counters.py --dry-run      # without either: the calls alone, on the CPU

A step is the difference of two runs, as in bench/machine_code/count.py; head and tail are the rest.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "machine_code"))

from cases import COUNTED, Case
from cubins import base_name
from document import RESULTS

#: Ours -> ncu's. Cycles are those of the busiest multiprocessor.
METRICS = {
    "instructions": "smsp__inst_executed.sum",
    "hmma": "sm__inst_executed_pipe_tensor.sum",
    "wavefronts": "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",
    "global_sectors": "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "cycles": "sm__cycles_active.max",
    "nanoseconds": "gpu__time_duration.sum",
}


def launch(case: Case, count: int, device: str) -> None:
    """The call whose launch is profiled: the case's images, as few as the emulator executes."""
    import torch

    import yopo_ext

    tensors = {name: tensor.to(device) for name, tensor in case.tensors().items()}
    yopo_ext.inner_ascent(**tensors, **case.options(count), backend="cuda" if device == "cuda" else "torch")
    if device == "cuda":
        torch.cuda.synchronize()


def launch_all(device: str) -> None:
    for case in COUNTED:
        for count in case.counts:
            launch(case, count, device)


def parse(text: str, kernels: list[str]) -> list[dict[str, float]]:
    """The metrics of the launches of `kernels`, in order, from what `ncu --csv` prints.

    Raises:
        ValueError: other kernels of ours were launched; the message ends with what ncu said.
    """
    lines = [line for line in text.splitlines() if line.startswith('"')]
    launches: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(StringIO("\n".join(lines))):
        launches.setdefault(row["ID"], []).append(row)
    profiled = [rows[0]["Kernel Name"] for rows in launches.values()]
    if len(profiled) != len(kernels) or not all(map(str.__contains__, profiled, kernels)):
        raise ValueError(f"ncu profiled {profiled}, expected {kernels}: {text[-300:]}")
    names = {theirs: mine for mine, theirs in METRICS.items()}
    return [
        {
            names[row["Metric Name"]]: float(row["Metric Value"].replace(",", ""))
            for row in rows
            if row["Metric Name"] in names and row["Metric Value"] != "n/a"
        }
        for rows in launches.values()
    ]


def profile(kernels: list[str]) -> list[dict[str, float]]:
    """One process for all launches: its start takes longer than they do."""
    command = ["ncu", "--csv", "--clock-control", "none", "--metrics", ",".join(METRICS.values()), "--kernel-name",
               f"regex:{'|'.join(sorted(set(kernels)))}", sys.executable, __file__, "--launch"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    return parse(done.stdout + done.stderr, kernels)


def compare(case: Case, counted: dict, runs: list[dict[str, float]]) -> dict[str, dict]:
    """Both sides of what a step and everything else cost."""
    less, more = case.counts
    step = {name: (runs[1][name] - runs[0][name]) / (more - less) for name in runs[0] if name in runs[1]}
    rest = {name: runs[0][name] - less * step[name] for name in step}
    return {"counted": {"step": counted["step"], "rest": counted["rest"]}, "measured": {"step": step, "rest": rest}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--launch", action="store_true", help="the calls, for ncu to look at")
    arguments = parser.parse_args()
    if arguments.launch or arguments.dry_run:
        launch_all("cuda" if arguments.launch else "cpu")
        return 0
    counted = json.loads(RESULTS.read_text())["cases"]
    runs = iter(profile([base_name(counted[case.name]["kernel"]) for case in COUNTED for _ in case.counts]))
    found = {case.name: compare(case, counted[case.name], [next(runs), next(runs)]) for case in COUNTED}
    for name, both in found.items():
        print(name, json.dumps(both))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
