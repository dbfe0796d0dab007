# SPDX-License-Identifier: MIT
"""`python -m yopo_ext` is the `yopo` command."""

import sys

from .cli import main

sys.exit(main())
