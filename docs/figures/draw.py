# SPDX-License-Identifier: MIT
"""`python docs/figures/draw.py [NAME ...]`: the pictures of the documentation, as SVG beside this file."""

from __future__ import annotations

import sys

import draw_black_box
import draw_cuts
import draw_front
import draw_ideas
import draw_speed
import draw_speedrun
import draw_trainings
from style import save

FILES = (draw_ideas, draw_speed, draw_speedrun, draw_trainings, draw_cuts, draw_front, draw_black_box)

if __name__ == "__main__":
    drawings = {name: draw for file in FILES for name, draw in file.DRAWINGS.items()}
    save({name: drawings[name] for name in sys.argv[1:] or drawings})
