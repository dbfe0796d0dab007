# SPDX-License-Identifier: MIT
"""`python -m yopo_ext` is the `yopo` command."""

import sys

from yopo_ext.cli import main

sys.exit(main())
