# SPDX-License-Identifier: MIT

import itertools

import pytest
import torch

from yopo_ext.random_streams import derive_seed, drawing_from

STREAMS = ("weights", "order", "augmentation", "starts", "layers of process 0", "layers of process 1")


def test_seed_and_name_decide_and_no_two_streams_are_alike():
    # The first 32 bits count: torch's generator on the CPU takes no more of a seed.
    seeds = {(seed, name): derive_seed(seed, name) for seed in (0, 1, 2**32, 2**63 - 1) for name in STREAMS}
    assert len({seed % 2**32 for seed in seeds.values()}) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds.values())
    # Written down: the same on every machine and in every version, or seeds lose their meaning.
    assert derive_seed(0, "weights") == 2039098572050236917


def test_streams_do_not_correlate():
    draws = [torch.randn(20000, generator=torch.Generator().manual_seed(derive_seed(0, name))) for name in STREAMS]
    for one, other in itertools.combinations(draws, 2):
        assert abs(torch.corrcoef(torch.stack((one, other)))[0, 1]) < 0.04


def test_the_global_generator_is_as_it_was():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with drawing_from(5):
        inside = torch.rand(4)
    assert torch.equal(inside, torch.rand(4, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(KeyError), drawing_from(5):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)
