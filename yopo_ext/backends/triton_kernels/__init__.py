# SPDX-License-Identifier: MIT
"""The Triton kernels. Importing anything but `configurations` and `arguments` needs triton."""
