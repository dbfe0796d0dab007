# SPDX-License-Identifier: MIT
"""A stop that a test asks for."""

from yopo_ext.training import StopRequest


class StopAfter(StopRequest):
    """Asks for a stop when the loop has looked ``checks`` times."""

    def __init__(self, checks: int) -> None:
        super().__init__()
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.signal_number = 15
        super().check()
