# SPDX-License-Identifier: MIT
"""`python docs/figures/deep_table.py`: docs/_deep-forms.md and docs/_deep-trainings.md, from what was measured."""

from __future__ import annotations

import json
from typing import Any

from results import BENCH, HERE

MEASURED = BENCH / "results" / "deep-training.json"
KINDS = ("PGD", "recursive", "residual, each layer alone", "residual")


def measured() -> dict[str, Any]:
    """What bench/runs/deep_training.py wrote."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def forms() -> str:
    """What the attack's forms cost and reach on three networks."""
    lines = [
        "| | | clean loss | PGD | recursive | residual, each layer alone | residual, equal layers batched |",
        "|---" * 7 + "|",
    ]
    for name, one in measured()["forms"].items():
        seconds = " | ".join(f"{one['cpu_seconds'][kind]:.2f}" for kind in KINDS)
        reached = " | ".join(f"{one['reached'][kind]:.3f}" for kind in KINDS)
        together = ", ".join(f"{count} are one call" for count in one["batched_together"]) or "no two are equal"
        lines.append(
            f"| {name}, {one['images']} images, {one['iterations']} iterations | CPU s | | {seconds} ({together}) |"
        )
        lines.append(f"| | objective | {one['clean_loss']:.3f} | {reached} |")
    return "\n".join(lines)


def trainings() -> str:
    """Networks trained for equal time, under PGD and both forms of the deep attack."""
    found = measured()
    costs, trained = found["cpu_seconds_a_mini_batch"], found["trainings"]
    attacks = list(next(iter(trained.values()))["robust"])
    lines = [
        f"| | mini-batch, natural = 1 | epochs | clean % | {' % | '.join(attacks)} % |",
        "|---" * (4 + len(attacks)) + "|",
    ]
    for name, one in trained.items():
        robust = " | ".join(f"{one['robust'][attack]:.1f}" for attack in attacks)
        ratio = costs[name] / costs["natural"]
        lines.append(f"| {name} | {ratio:.1f} | {one['epochs']} | {one['clean']:.1f} | {robust} |")
    return "\n".join(lines)


PAGES = {"_deep-forms.md": forms, "_deep-trainings.md": trainings}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE.parent / name).write_text(page() + "\n", encoding="utf-8")
