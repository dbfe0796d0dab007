# SPDX-License-Identifier: MIT

import pytest


@pytest.fixture(autouse=True)
def _small_networks(one_thread: None) -> None:
    """They only wait for more threads."""
