# SPDX-License-Identifier: MIT
"""Executes the sm_90 machine code of a kernel on the CPU: right or wrong, unordered or not, and what was issued."""
