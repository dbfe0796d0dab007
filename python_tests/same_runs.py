# SPDX-License-Identifier: MIT
"""Whether two runs are the same."""

import torch


def everything(trainer):
    """All that decides how training goes on, and the metrics without what clocks measured."""
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "precision": trainer.step.weights.precision.state_dict(),
        "batches": trainer.batches.state_dict(),
        "generator": None if trainer.step.generator is None else trainer.step.generator.get_state(),
        "noise": trainer.step.noise.state_dict(),
        "events": {event.name: event.state_dict() for event in trainer.events},
        "log": without_clocks(trainer.log),
    }


def without_clocks(value, timed=("seconds", "inner_share")):
    """A log, or part of one, without what clocks measured; a record may hold those of epochs that were given up."""
    if isinstance(value, list):
        return [without_clocks(one, timed) for one in value]
    if isinstance(value, dict):
        return {name: without_clocks(one, timed) for name, one in value.items() if name not in timed}
    return value


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
