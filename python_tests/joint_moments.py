# SPDX-License-Identifier: MIT
"""What each of two processes asks of a synchronised batch norm's moments; a module that a new process can import."""

import torch
from torch import nn

from yopo_ext.batch_statistics import batch_moments


class Synchronised(nn.SyncBatchNorm):
    """torch's has no CPU path; nothing but the moments is asked of it here."""


def joint_moments(rank, rendezvous, parts):
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    try:
        found = batch_moments(Synchronised(3), parts[rank])
        whole = batch_moments(nn.BatchNorm2d(3), torch.cat(parts))
        torch.testing.assert_close(tuple(found), tuple(whole), rtol=1e-12, atol=1e-12)
        own = batch_moments(Synchronised(3).eval(), parts[rank])
        torch.testing.assert_close(tuple(own), tuple(batch_moments(nn.BatchNorm2d(3), parts[rank])))
        assert not torch.allclose(own.mean, found.mean)
    finally:
        torch.distributed.destroy_process_group()
