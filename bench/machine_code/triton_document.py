# SPDX-License-Identifier: MIT
"""The Triton kernels' counts beside those of `cuda`, as a section of docs/triton-kernels.md."""

from __future__ import annotations

import json

import document

RESULTS = document.ROOT / "bench/results/triton-machine-code-sm_90.json"
DOCUMENT = document.ROOT / "docs/triton-kernels.md"
HEADING, NEXT_HEADING = "## What the machine code issues", "## Limits"
TEXT = """{heading}

Written by `python bench/machine_code/triton_count.py --write` for sm_90, with Triton {triton}, in precision `"high"`.
Kernels are executed for one image without a GPU, as [](cuda-kernels.md) describes, with the tiles that a whole batch
has. All programs of the image together, beside what `cuda` issues for it; slots are warp instructions by four:

{executed}

Where the compiler multiplies with `wgmma`, which the emulator does not know: what is in the code, each instruction once
(most of it lies in loops):

{listed}

"""


def section(record: dict | None = None) -> str:
    """The section that figures make (those that are kept, if none are given)."""
    record = record or json.loads(RESULTS.read_text())
    cuda = json.loads(document.RESULTS.read_text())["cases"]
    executed = [
        "| case | registers | programs an image | a step: slots | of `cuda` | wavefronts | of `cuda` "
        "| head + tail: slots | of `cuda` | a call: slots, times those of `cuda` |",
        "|---" * 10 + "|",
    ]
    listed = ["| case | registers | threads | shared memory | instructions | HMMA | wgmma |", "|---" * 7 + "|"]
    for name, case in record["cases"].items():
        if "step" not in case:
            listed.append(
                f"| {name} | {case['registers']} | {case['threads']} | {case['shared']:,} | {case['instructions']:,} "
                f"| {case['hmma']} | {case['wgmma']} |"
            )
            continue
        steps, theirs = cuda[name]["call"]["steps"], cuda[name]
        call, of_cuda = (c["rest"]["slots"] + steps * c["step"]["slots"] for c in (case, theirs))
        executed.append(
            f"| {name} | {case['registers']} | {case['programs']} | {case['step']['slots']:,.0f} "
            f"| {theirs['step']['slots']:,.0f} | {case['step']['wavefronts']:,.0f} "
            f"| {theirs['step']['wavefronts']:,.0f} | {case['rest']['slots']:,.0f} | {theirs['rest']['slots']:,.0f} "
            f"| {steps} steps: {call / of_cuda:.2f} |"
        )
    return TEXT.format(heading=HEADING, triton=record["triton"], executed="\n".join(executed), listed="\n".join(listed))


def write() -> None:
    """Puts it into the documentation."""
    document.replace_section(DOCUMENT, HEADING, NEXT_HEADING, section())
