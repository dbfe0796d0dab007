# SPDX-License-Identifier: MIT
"""Whether two runs are the same."""

import torch


def everything(trainer):
    """All that decides how training goes on, and the metrics without what clocks measured."""
    timed = ("seconds", "inner_share")
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "precision": trainer.step.weights.precision.state_dict(),
        "batches": trainer.batches.state_dict(),
        "generator": None if trainer.step.generator is None else trainer.step.generator.get_state(),
        "noise": trainer.step.noise.state_dict(),
        "events": {event.name: event.state_dict() for event in trainer.events},
        "log": [{name: value for name, value in line.items() if name not in timed} for line in trainer.log],
    }


def assert_equal(left, right, where=""):
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert list(left) == list(right), where
        for name in left:
            assert_equal(left[name], right[name], f"{where}.{name}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_equal(*pair, f"{where}[{index}]")
    else:
        assert left == right, where
