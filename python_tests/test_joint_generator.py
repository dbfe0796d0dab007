# SPDX-License-Identifier: MIT

import pytest
import torch

from yopo_ext.adversaries import random_start
from yopo_ext.joint_generator import JointGenerator


def joint(rows=None):
    generator = JointGenerator().manual_seed(3)
    generator.rows = rows
    return generator


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_two_processes_draw_what_one_would(norm, memory_format):
    x = torch.rand(7, 3, 5, 4).contiguous(memory_format=memory_format)
    whole = random_start(x, eps=0.2, norm=norm, generator=torch.Generator().manual_seed(3))
    one = joint((0, 4, 7))
    two = joint((4, 7, 7))
    parts = [random_start(x[:4], eps=0.2, norm=norm, generator=one)]
    parts += [random_start(x[4:], eps=0.2, norm=norm, generator=two)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(one.get_state(), two.get_state())


def test_without_rows_it_is_an_ordinary_generator():
    x = torch.rand(4, 1, 3, 3)
    assert torch.equal(
        random_start(x, eps=0.2, generator=joint()),
        random_start(x, eps=0.2, generator=torch.Generator().manual_seed(3)),
    )


def test_rows_of_another_batch():
    with pytest.raises(ValueError, match="expected 4 rows"):
        random_start(torch.rand(4, 1, 3, 3), eps=0.2, generator=joint((0, 3, 6)))
