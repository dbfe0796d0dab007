# SPDX-License-Identifier: MIT
"""What `yopo train` (digits) takes alone and beside busy processes: with the threads that it chooses, and without.

    python bench/beside_others.py [--busy 2] [--repeats 3] [--epochs 4] [--methods yopo-5-3,pgd-5] [--json FILE]

Runs take turns, and the least of each counts. "as ever" is the same with torch's own threads, which spin. The seconds
are those of the training, without imports; the machine should have nothing else to do. Exits with 1 where a method
takes more than `--most` times its quiet time, or choosing costs more than a twentieth of it on the quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Tells the command that somebody has chosen, and chooses nothing: threads spin as they do by default.
AS_EVER = {"OMP_DISPLAY_ENV": "false"}


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that do nothing but keep a core busy each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds_of_training(method: str, epochs: int, environment: dict[str, str]) -> float:
    chosen = ("OMP_", "MKL_", "GOMP_", "KMP_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(chosen)} | environment
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "yopo_ext", "train", "--method", method, "--epochs", str(epochs), "--out", out]
        command += ["--no-compare-natural", "--curve-steps", "1", "--eval-steps", "1"]
        subprocess.run(command, env=clean, check=True, capture_output=True)
        lines = (out / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["seconds"]


def measure(methods: list[str], busy: int, repeats: int, epochs: int) -> dict[str, dict[str, float]]:
    """Least seconds of each method and situation."""
    situations = {
        "quiet": (0, {}), "quiet, as ever": (0, AS_EVER), "busy": (busy, {}), "busy, as ever": (busy, AS_EVER),
    }  # fmt: skip
    found: dict[str, dict[str, float]] = {method: {} for method in methods}
    for number in range(repeats):
        for method in methods:
            for name, (others, environment) in situations.items():
                with busy_processes(others):
                    taken = seconds_of_training(method, epochs, environment)
                found[method][name] = min(taken, found[method].get(name, taken))
                print(f"round {number + 1}, {method}, {name}: {taken:.2f} s", file=sys.stderr, flush=True)
    return found


def report(found: dict[str, dict[str, float]], busy: int, most: float) -> tuple[str, bool]:
    """A table, and whether all is as it should be."""
    lines, good = (
        [f"| method | quiet | beside {busy} busy processes | | as ever: quiet | beside them | |", "|" + "---|" * 7],
        True,
    )
    for method, taken in found.items():
        ratio, before = taken["busy"] / taken["quiet"], taken["busy, as ever"] / taken["quiet, as ever"]
        good &= ratio <= most and taken["quiet"] <= 1.05 * taken["quiet, as ever"]
        cells = [f"{taken['quiet']:.2f} s", f"{taken['busy']:.2f} s", f"{ratio:.1f} ×"]
        cells += [f"{taken['quiet, as ever']:.2f} s", f"{taken['busy, as ever']:.2f} s", f"{before:.1f} ×"]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines), good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=2, help="processes beside it (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="of every run (default: 3)")
    parser.add_argument("--epochs", type=int, default=4, help="of every run (default: 4)")
    parser.add_argument("--methods", default="yopo-5-3,pgd-5", help="default: yopo-5-3,pgd-5")
    parser.add_argument("--most", type=float, default=3.0, help="times the quiet time (default: 3)")
    parser.add_argument("--json", type=Path, help="write the seconds, and the load before, to this file")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = measure(options.methods.split(","), options.busy, options.repeats, options.epochs)
    if options.json is not None:
        given = {name: vars(options)[name] for name in ("busy", "repeats", "epochs")}
        result = {"cores": os.cpu_count(), "load before": round(load, 1), **given, "seconds": found}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table, good = report(found, options.busy, options.most)
    print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
