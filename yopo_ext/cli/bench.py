# SPDX-License-Identifier: MIT
"""`yopo bench`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Adds the command to the subparsers."""
    bench = commands.add_parser("bench", help="the inner loop on this machine: our backends and the alternatives")
    bench.add_argument("--cases", type=lambda text: text.split(","), metavar="A,B,...", help="default: all")
    bench.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    bench.add_argument("--rounds", type=int, metavar="N", help="of each contender (default: the case's own)")
    bench.add_argument("--quick", action="store_true", help="few images and rounds, no torch.compile: does it work?")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures too")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..benchmark.machine import describe_machine
    from ..benchmark.measure import check_device, choose_cases, measure
    from ..benchmark.report import to_document, to_table

    cases = choose_cases(options.cases, options.quick)
    check_device(options.device)
    if options.rounds is not None and options.rounds < 1:
        raise ValueError(f"rounds: got {options.rounds}, expected at least 1")
    machine = describe_machine(options.device)
    measurements = []
    for case in cases:
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        rounds = options.rounds or (case.rounds if options.quick else None)
        measurements.append(measure(case, options.device, rounds=rounds, compiled=not options.quick))
        if options.json:  # after each case, so that an interrupted run leaves what it has
            options.json.write_text(json.dumps(to_document(measurements, machine), indent=1) + "\n")
    print(to_table(measurements, machine))
    return 0
