# SPDX-License-Identifier: MIT
"""Which shapes the CUDA kernels do not take, and that they say so instead of counting past 32 bits."""

from __future__ import annotations

import cuda_on_host
import pytest

pytestmark = pytest.mark.skipif(
    cuda_on_host.why_not_buildable() is not None, reason=str(cuda_on_host.why_not_buildable())
)
TOO_MANY = "it takes padded images, co-states of one image and weights of up to 2^30 elements each"
TOO_MANY_TILES = "the batch has too many tiles for one launch"


def refusal(batch=1, channels=3, size=(32, 32), out_channels=64, kernel=(3, 3), stride=(1, 1), padding=(1, 1), *,
            hamiltonian=False) -> str:  # fmt: skip
    shape = (batch, channels, *size, out_channels, *kernel, *stride, *padding, 1, 1)
    return cuda_on_host.host_module().cuda_refusal(shape, hamiltonian, 0)


@pytest.mark.parametrize("hamiltonian", [False, True])
def test_common_shapes_are_taken(hamiltonian):
    assert refusal(hamiltonian=hamiltonian) == ""
    assert refusal(2**20, hamiltonian=hamiltonian) == ""
    assert refusal(1, 3, (8192, 512), 64, hamiltonian=hamiltonian) == ""


@pytest.mark.parametrize("hamiltonian", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        {"channels": 3, "size": (32768, 32768), "out_channels": 1},  # the image
        {"channels": 1, "size": (8192, 8192), "out_channels": 64},  # p of one image
        {"channels": 1, "size": (1, 1), "padding": (40_000, 40_000), "out_channels": 1},  # the padded image
        {"channels": 1, "size": (1, 2**31 - 1), "kernel": (1, 1), "padding": (0, 2**30), "out_channels": 1},
        {"channels": 16, "size": (4096, 4096), "kernel": (4096, 4096), "padding": (0, 0), "out_channels": 8},
        {"channels": 1, "out_channels": 2**31 - 1},
    ],
    ids=str,
)
def test_what_cannot_be_counted_in_32_bits_is_refused(shape, hamiltonian):
    assert refusal(**shape, hamiltonian=hamiltonian) == TOO_MANY


def test_more_blocks_than_a_launch_has_are_refused():
    """Bands of the Hamiltonian are counted too: 2^27 images of 32 bands are 2^32 blocks, which is 0 in 32 bits."""
    tall = {"channels": 1, "size": (1024, 1), "kernel": (1, 1), "padding": (0, 0), "out_channels": 1}
    assert refusal(2**20, **tall, hamiltonian=True) == ""
    assert refusal(2**27, **tall, hamiltonian=True) == TOO_MANY_TILES
    assert refusal(2**31 - 1, hamiltonian=True) == ""
    assert refusal(2**31 - 1, size=(256, 32), hamiltonian=True) == TOO_MANY_TILES
