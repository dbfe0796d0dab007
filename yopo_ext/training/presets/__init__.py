# SPDX-License-Identifier: MIT
"""Settings by name: one paper's runs a file, and one of our own."""

from .preset import PRESETS, Preset

__all__ = ["PRESETS", "Preset"]
