# SPDX-License-Identifier: MIT
"""The pictures strength and boundary: what attacks without gradients find.

They plot bench/results/black-box.json, which bench/runs/black_box.py measures.
"""

from __future__ import annotations

from matplotlib import pyplot
from results import black_box


def draw_strength() -> None:
    """Accuracy over eps: PGD-40 where it was run, RayS from the distances that it found."""
    _, axes = pyplot.subplots(figsize=(8, 4))
    for index, (name, network) in enumerate(black_box().items()):
        curve = network["sweep"]
        (accuracy,) = curve["curves"].values()
        axes.plot(curve["values"], accuracy, color=f"C{index}", marker=".", label=f"{name}, PGD-40")
        if "attacks" in network:
            distances = network["attacks"]["RayS"]["distances"]
            left = [100 * (1 - rank / len(distances)) for rank in range(1, len(distances) + 1)]
            axes.step([0, *distances], [100, *left], where="post", color=f"C{index}", linestyle=":",
                      label=f"{name}, RayS")  # fmt: skip
    axes.set_xlim(0, max(curve["values"]))
    axes.set_ylim(0, 100)
    axes.grid(color="#dddddd")
    axes.set_xlabel("eps")
    axes.set_ylabel("accuracy, %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_boundary() -> None:
    """Accuracy in the planes of PGD's direction and a random one."""
    sections = {name: one["cross_section"] for name, one in black_box().items() if "cross_section" in one}
    _, panels = pyplot.subplots(1, len(sections), figsize=(4.2 * len(sections), 3.9), layout="constrained")
    for axes, (name, section) in zip(panels, sections.items(), strict=True):
        side = section["scale"][-1]
        image = axes.imshow(
            section["accuracy"], vmin=0, vmax=100, origin="lower", extent=(-side, side, -side, side), cmap="viridis"
        )
        axes.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color="white", linestyle="--", linewidth=1)
        axes.set_title(name)
        axes.set_xlabel("PGD's direction, in eps")
        axes.set_ylabel("random direction, in eps")
    axes.figure.colorbar(image, ax=panels, label="accuracy, %")


DRAWINGS = {"strength": draw_strength, "boundary": draw_boundary}
