# SPDX-License-Identifier: MIT
"""The `yopo` command, started two seconds late in the second process."""

import os
import sys
import time

if os.environ["RANK"] == "1":
    time.sleep(2.0)

from yopo_ext.cli import main

sys.exit(main())
