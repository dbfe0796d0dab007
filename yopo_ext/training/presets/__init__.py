# SPDX-License-Identifier: MIT
"""Settings by name, those of the papers: one paper's runs a file."""

from .preset import PRESETS, Preset

__all__ = ["PRESETS", "Preset"]
