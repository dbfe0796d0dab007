# SPDX-License-Identifier: MIT
"""Times the Triton kernels under many tilings on this GPU, and writes the fastest where the backend reads them.

    python bench/tune_triton.py tuned.json [--limit 30] [row ...]   rows of the table, as "linear high"; all by default
    YOPO_EXT_TRITON_CONFIGURATIONS=tuned.json yopo train ...

    python bench/tune_triton.py --dry-run [--capability 90] [--limit 5] [row ...]

The dry run needs no GPU: it prints which tiles the benchmark cases get on an architecture, and compiles the tilings
that would be tried there, to tell how many fit and do not spill. What proves faster on a GPU belongs into
yopo_ext/backends/triton_kernels/configurations.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import triton
from triton.runtime.errors import OutOfResources, PTXASError
from triton_machine_code import MachineCode, machine_code
from triton_tilings import Tilings, read

from yopo_ext.backends.triton_kernels import configurations, geometry, plan
from yopo_ext.backends.triton_kernels.configurations import Configuration
from yopo_ext.backends.triton_kernels.launch import Launch, run
from yopo_ext.benchmark.cases import CASES

#: Multiprocessors of the GPU that stands for an architecture in the dry run: A100, A40, H100, B200.
PROCESSORS = {80: 108, 86: 84, 90: 132, 100: 148}


def milliseconds(launches: list[Launch], device: torch.device) -> float | None:
    """Median with a cold L2 cache; None for tiles that this GPU has no room for."""
    try:
        return triton.testing.do_bench(lambda: run(launches, device), warmup=10, rep=50, return_mode="median")
    except (OutOfResources, PTXASError):
        return None


def compile_side_by_side(row: str, capability: int, device: str, tried: list[Configuration], workers: int) -> None:
    """Fills Triton's cache, in processes of their own: one after another, compiling would take most of the time."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_compile, row, capability, device), tried))


def _compile(row: str, capability: int, device: str, tiles: Configuration) -> None:
    with suppress(OutOfResources, PTXASError):
        run(Tilings(row, capability, device).launches(tiles), torch.device(device))


def tune(row: str, capability: int, device: torch.device, limit: int | None, workers: int) -> Configuration:
    tilings = Tilings(row, capability, str(device))
    timings: dict[Configuration, float] = {}
    different = tilings.different(torch.cuda.get_device_properties(device).multi_processor_count)
    tried = list(itertools.islice(different, limit))
    if workers > 1:
        compile_side_by_side(row, capability, str(device), [tiles for tiles, _ in tried], workers)
    for tiles, launches in tried:
        if (time := milliseconds(launches, device)) is not None:
            timings[tiles] = time
    if not timings:
        raise SystemExit(f"{row}: no tiles fit this GPU")
    best = min(timings, key=timings.__getitem__)
    before = timings.get(tilings.current)
    present = "does not fit" if before is None else f"{before * 1e3:.1f} us"
    print(f"{row}: {present} as it is {tuple(tilings.current)}, {timings[best] * 1e3:.1f} us with {tuple(best)}")
    return best


def choice(capability: int) -> list[str]:
    """A line for each case: the launches it comes to, or why it is declined."""
    lines = []
    for case, precision in itertools.product(CASES, ("high", "highest")):
        call = read(case, precision, "meta")
        if (reason := geometry.refusal(call.x, call.layer)) is not None:
            lines.append(f"{case.name}, {precision}: declined, {reason}")
            continue
        for launch in plan.inner_ascent(call, torch.empty_like(call.eta), capability):
            g = launch.arguments["G"]
            lines.append(
                f"{case.name}, {precision}: {launch.kernel.__name__}, {launch.grid[0]} programs of {launch.warps} "
                f"warps, chunks of {g.chunk_rows} rows, {g.k_block} of {g.out_channels} channels, "
                f"{launch.stages} stages"
            )
    return lines


def dry_run(row: str, capability: int, limit: int | None) -> list[MachineCode]:
    """Compiles what would be timed, the present tiling first; prints what came of it."""
    tilings = Tilings(row, capability, "meta")
    different = tilings.different(PROCESSORS[max(known for known in PROCESSORS if known <= capability)])
    # How many programs there are is no matter of the machine code.
    codes: dict[tuple, MachineCode] = {}
    for _, (launch, *_) in different:
        key = (launch.arguments["G"], launch.warps, launch.stages)
        if key not in codes and (limit is None or len(codes) < limit):
            codes[key] = machine_code(launch, capability)
    present, fitting = next(iter(codes.values())), [code for code in codes.values() if code.fits]
    print(
        f"{row}, sm_{capability}: {len(codes)} tilings compiled, {len(fitting)} fit, "
        f"{sum(not code.spilled for code in fitting)} of them without spills; present {tuple(tilings.current)}: "
        f"{present.registers} registers, {present.shared} bytes of shared memory, {present.spills} spills",
        flush=True,
    )
    return list(codes.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(configurations.TABLE)}")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--capability", type=int, choices=PROCESSORS, default=90, help="of the dry run")
    parser.add_argument("--limit", type=int, help="try so many tilings of a row, the present one first")
    parser.add_argument("--workers", type=int, default=min(12, os.cpu_count() or 1), help="processes that compile")
    arguments = parser.parse_intermixed_args()  # options may stand between the file and the rows
    rows = arguments.rows
    if arguments.dry_run and arguments.file:  # it writes none, so the first name is a row too
        rows = [str(arguments.file), *rows]
    if unknown := set(rows) - set(configurations.TABLE):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(configurations.TABLE)}")
    if arguments.dry_run:
        print("\n".join(choice(arguments.capability)), flush=True)
        for row in rows or configurations.TABLE:
            dry_run(row, arguments.capability, arguments.limit)
        return
    if not arguments.file:
        parser.error("a file to write is needed")
    if not torch.cuda.is_available():
        raise SystemExit("tuning needs a GPU; --dry-run does not")
    device = torch.device("cuda", torch.cuda.current_device())
    major, minor = torch.cuda.get_device_capability(device)
    capability = 10 * major + minor
    tuned = {}
    for row in rows or configurations.TABLE:
        tuned[row] = {str(capability): tune(row, capability, device, arguments.limit, arguments.workers)._asdict()}
        arguments.file.write_text(json.dumps(tuned, indent=2) + "\n")


if __name__ == "__main__":
    main()
