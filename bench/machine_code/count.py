# SPDX-License-Identifier: MIT
"""Counts what the CUDA kernels issue on sm_90, by executing their machine code on the CPU. Needs nvcc and nvdisasm.

    python bench/machine_code/count.py --case cifar-relu            # one case, by phase and source line
    python bench/machine_code/count.py --all [--write]              # every counted case, and their table in markdown
    python bench/machine_code/count.py --check                      # the odd cases: are their results right?

Exit status 1 where a result is wrong, an access is unordered, or (with --reverse) the order of warps matters.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # arrays of 32 lanes

import cubins
import document
from backend import ARCHITECTURE
from cases import CASES, CHECKED, COUNTED
from measure import complaints_about, measure
from report import describe


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", choices=CASES)
    what.add_argument("--all", action="store_true")
    what.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep the figures of --all in bench/results and in docs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases of --all side by side")
    parser.add_argument("--reverse", action="store_true", help="also run the warps last to first, and compare")
    parser.add_argument("--rows", type=int, default=20, help="dearest places to print")
    parser.add_argument("--depth", type=int, default=2, help="calls to tell phases apart by")
    return parser.parse_args()


def count(name: str, reverse: bool) -> tuple[str, dict, list[str]]:
    measured = measure(CASES[name], reverse)
    return name, measured.record(), measured.complaints


def count_all(keep: bool, reverse: bool, jobs: int) -> bool:
    record = {"architecture": ARCHITECTURE, "nvcc": cubins.nvcc_version(), "cases": {}}
    right, names = True, [case.name for case in COUNTED]
    with ProcessPoolExecutor(jobs) as pool:
        for name, figures, complaints in pool.map(count, names, [reverse] * len(names)):
            record["cases"][name] = figures
            right &= not complaints
            print(f"{name}: {'; '.join(complaints) or 'right'}", file=sys.stderr, flush=True)
    print(document.table(record))
    if keep and right:
        document.RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        document.write()
    return right


def check_all() -> bool:
    right = True
    for case in CHECKED:
        _, complaints = complaints_about(case, case.counts[1], reverse=True)
        right &= not complaints
        print(f"{case.name}: {'; '.join(complaints) or 'right'}", flush=True)
    return right


def main() -> int:
    args = arguments()
    if args.all:
        return 0 if count_all(args.write, args.reverse, args.jobs) else 1
    if args.check:
        return 0 if check_all() else 1
    measured = measure(CASES[args.case], args.reverse)
    print(describe(measured, args.rows, args.depth))
    return 0 if measured.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
