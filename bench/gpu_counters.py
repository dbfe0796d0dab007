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

from cases import CASES, COUNTED, Case
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
    """The call whose launches are profiled: the case's images, as few as the emulator executes."""
    import torch

    import yopo_ext

    tensors = {name: tensor.to(device) for name, tensor in case.tensors().items()}
    yopo_ext.inner_ascent(**tensors, **case.options(count), backend="cuda" if device == "cuda" else "torch")
    if device == "cuda":
        torch.cuda.synchronize()


def parse(text: str, only: str) -> dict[str, float]:
    """The metrics of the first launch of a kernel of ours, from what `ncu --csv` prints.

    Raises:
        ValueError: there is none; the message ends with what ncu said.
    """
    lines = [line for line in text.splitlines() if line.startswith('"')]
    rows = [row for row in csv.DictReader(StringIO("\n".join(lines))) if only in row["Kernel Name"]]
    if not rows:
        raise ValueError(f"ncu profiled no kernel of ours: {text[-300:]}")
    names = {theirs: mine for mine, theirs in METRICS.items()}
    return {
        names[row["Metric Name"]]: float(row["Metric Value"].replace(",", ""))
        for row in rows
        if row["ID"] == rows[0]["ID"] and row["Metric Name"] in names and row["Metric Value"] != "n/a"
    }


def profile(case: Case, count: int, kernel: str) -> dict[str, float]:
    command = ["ncu", "--csv", "--metrics", ",".join(METRICS.values()), "--kernel-name", f"regex:{kernel}",
               sys.executable, __file__, "--launch", case.name, "--count", str(count)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    return parse(done.stdout + done.stderr, kernel)


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
    parser.add_argument("--launch", choices=CASES, help="one call, for ncu to look at")
    parser.add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.launch:
        launch(CASES[arguments.launch], arguments.count, "cuda")
        return 0
    counted = json.loads(RESULTS.read_text())["cases"]
    found: dict[str, dict] = {}
    for case in COUNTED:
        if arguments.dry_run:
            launch(case, case.counts[0], "cpu")
            continue
        try:
            runs = [profile(case, count, base_name(counted[case.name]["kernel"])) for count in case.counts]
            found[case.name] = compare(case, counted[case.name], runs)
        except ValueError as error:
            found[case.name] = {"error": str(error)}
        print(case.name, json.dumps(found[case.name]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any("error" in case for case in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
