# SPDX-License-Identifier: MIT
"""The microbenchmark: first layers of real networks, our backends and what a user would write otherwise.

`pytest bench` and `yopo bench` measure the same cases and contenders; see `measure`.
"""
