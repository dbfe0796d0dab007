# SPDX-License-Identifier: MIT
"""The counts of all cases as a section of docs/cuda-kernels.md, from what `count.py` has written."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results/machine-code-sm_90.json"
DOCUMENT = ROOT / "docs/cuda-kernels.md"
HEADING, NEXT_HEADING = "## What the machine code issues", "## Registers"
TEXT = """{heading}

Written by `python bench/machine_code/count.py --all --write`: the sm_90 machine code of nvcc {nvcc}, executed on the
CPU for one image (`patch`: for one block of many), and every warp instruction counted. One costs a scheduler a slot;
there are four. Counts are exact. Cycles are those of a coarse in-order model: they rank variants, and leave out HBM, L2
and the instruction cache. A step is what one step more costs; head and tail are all the rest. A call counts waves of
blocks on 132 multiprocessors at 1.75 GHz. `count.py --case` names the source lines that it goes to.

{table}

The emulator (`bench/machine_code/emulator/`) raises on an access outside an allocation and on what it does not know,
and finds accesses to shared memory that no barrier orders, whatever the order in which warps ran. It does not model
rounding inside a tensor core, the approximations of special functions, subnormals flushed to zero, atomics,
`wgmma` and clusters; an asynchronous copy is done at once, so that one which is waited for too late is not noticed.

"""


def table(record: dict) -> str:
    """All cases, in markdown."""
    lines = [
        "| case | registers | blocks | a step: warp instructions | slots | HMMA | wavefronts merged / split "
        "| model cycles | head + tail: slots | model cycles | a call in the model |",
        "|---" * 11 + "|",
    ]
    for name, case in record["cases"].items():
        step, rest, call = case["step"], case["rest"], case.get("call")
        spilled = f" + {case['spilled']} bytes spilled" if case["spilled"] else ""
        told = f"{call['images']} images, {call['steps']} steps: {call['model_us']:.1f} µs" if call else ""
        lines.append(
            f"| {name} | {case['registers']}{spilled} | {case['blocks']} | {step['instructions']:,.0f} "
            f"| {step['slots']:,.0f} | {step['hmma']:,.0f} "
            f"| {step['wavefronts']:,.0f} / {step['wavefronts_split']:,.0f} | {step['model_cycles']:,.0f} "
            f"| {rest['slots']:,.0f} | {rest['model_cycles']:,.0f} | {told} |"
        )
    return "\n".join(lines)


def section() -> str:
    """The section that the committed figures make, up to the next heading."""
    record = json.loads(RESULTS.read_text())
    return TEXT.format(heading=HEADING, nvcc=record["nvcc"], table=table(record))


def write() -> None:
    """Puts it into the documentation."""
    replace_section(DOCUMENT, HEADING, NEXT_HEADING, section())


def replace_section(path: Path, heading: str, next_heading: str, text: str) -> None:
    """Puts a section into a document before the next one, in the place of the one that is there."""
    whole = path.read_text()
    before = whole.split(heading if heading in whole else next_heading)[0]
    after = re.split(rf"^(?={next_heading}$)", whole, flags=re.M)[1]
    path.write_text(before + text + after)
