# SPDX-License-Identifier: MIT
"""What decides a run: settings that every part declares for itself, presets, and files of settings."""

from .chosen import Chosen
from .config import Config, differences
from .files import config_from_dict, read_began_with, read_run, read_settings
from .make import change_config, make_config
from .method_text import parse_method

__all__ = [
    "Chosen",
    "Config",
    "change_config",
    "config_from_dict",
    "differences",
    "make_config",
    "parse_method",
    "read_began_with",
    "read_run",
    "read_settings",
]
