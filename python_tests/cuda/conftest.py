# SPDX-License-Identifier: MIT
"""The backends that the tests of the tensor-core kernels run."""

from __future__ import annotations

from collections.abc import Iterator

import cuda_on_host
import pytest


@pytest.fixture(autouse=True)
def _own_plans() -> Iterator[None]:
    cuda_on_host.forget_plans()
    yield
    cuda_on_host.forget_plans()


@pytest.fixture(params=["cuda_on_host", "cuda_on_gpu"])
def backend(request: pytest.FixtureRequest) -> str:
    """The kernels on the host and on a GPU, in the precision that a test asks for."""
    if (reason := cuda_on_host.why_not(request.param)) is not None:
        pytest.skip(reason)
    cuda_on_host.register(request.param)
    return request.param
