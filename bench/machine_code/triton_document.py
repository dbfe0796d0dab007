# SPDX-License-Identifier: MIT
"""The Triton kernels' counts beside those of `cuda`, as a section of docs/triton-kernels.md."""

from __future__ import annotations

import json
from pathlib import Path

import document

RESULTS = document.ROOT / "bench/results/triton-machine-code-sm_90.json"
DOCUMENT = document.ROOT / "docs/triton-kernels.md"
HEADING, NEXT_HEADING = "## What the machine code issues", "## Limits"
TEXT = """{heading}

Written by `python bench/machine_code/triton_count.py --write` for sm_90, with Triton {triton}, in precision `"high"`.
The linear kernel is executed for one image without a GPU, as [](cuda-kernels.md) describes, all its programs and steps
together, beside what `cuda` issues for the same image and steps:

{executed}

The nonlinear kernel multiplies with `wgmma`, which the emulator does not know. What is in its code, each instruction
once (most of it lies in loops):

{listed}

"""


def section(record: dict | None = None) -> str:
    """The section that figures make (those that are kept, if none are given)."""
    record = record or json.loads(RESULTS.read_text())
    cuda = json.loads(document.RESULTS.read_text())["cases"]
    executed = [
        "| case | registers | programs an image | slots | of `cuda` | ratio | wavefronts | of `cuda` | HMMA "
        "| of `cuda` |",
        "|---" * 10 + "|",
    ]
    listed = ["| case | registers | threads | shared memory | instructions | HMMA | wgmma |", "|---" * 7 + "|"]
    for name, case in record["cases"].items():
        if "image" not in case:
            listed.append(
                f"| {name} | {case['registers']} | {case['threads']} | {case['shared']:,} | {case['instructions']:,} "
                f"| {case['hmma']} | {case['wgmma']} |"
            )
            continue
        image, (step, rest) = case["image"], (cuda[name][part] for part in ("step", "rest"))
        steps = cuda[name]["call"]["steps"]
        slots, waves, hmma = (rest[what] + steps * step[what] for what in ("slots", "wavefronts", "hmma"))
        executed.append(
            f"| {name} | {case['registers']} | {case['programs']} | {image['slots']:,.0f} | {slots:,.0f} "
            f"| {image['slots'] / slots:.2f} | {image['wavefronts']:,.0f} | {waves:,.0f} | {image['hmma']:,.0f} "
            f"| {hmma:,.0f} |"
        )
    return TEXT.format(heading=HEADING, triton=record["triton"], executed="\n".join(executed), listed="\n".join(listed))


def write(path: Path = DOCUMENT) -> None:
    """Puts it into the documentation, in the place of the one that is there."""
    text = path.read_text()
    before = text.split(HEADING if HEADING in text else NEXT_HEADING)[0]
    path.write_text(before + section() + NEXT_HEADING + text.split(NEXT_HEADING)[1])
