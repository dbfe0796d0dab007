# SPDX-License-Identifier: MIT
"""A data set and runs that take a moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from stop_after import StopAfter

from yopo_ext.data import Dataset, load_dataset
from yopo_ext.training import Config, Interrupted, Run, StopRequest, change_config, make_config

TINY = make_config(
    device="cpu", method="yopo-2-2", eps=0.1, alpha=0.02, epochs=3, batch_size=16, limit_train=56, limit_eval=20,
    curve_steps=1, eval_steps=2, lr=0.05, milestones=(2,),
)  # fmt: skip


class Runs:
    """Puts runs together and takes them some of the way."""

    config, stop_after = TINY, StopAfter

    def __init__(self, root: Path) -> None:
        self.root = root

    def data(self, config: Config) -> Dataset:
        data = load_dataset("digits")
        train, test = data.train.take(config.data.limit_train), data.test.take(config.data.limit_eval)
        if config.model.model == "smallcnn":
            train, test = (type(part)(part.images.repeat(1, 1, 4, 4)[..., :28, :28], part.labels, 10)
                           for part in (train, test))  # fmt: skip
        return Dataset("digits", train, test)

    def run(self, name: str = "run", config: Config = TINY, stop: StopRequest | None = None, **changes: object) -> Run:
        config = change_config(config, **changes)
        return Run(config, self.root / name, self.data(config), show=False, stop=stop)

    def trainer(self, name: str = "run", config: Config = TINY, **changes: object):
        return self.run(name, config, **changes).trainer

    def finished(self, name: str, config: Config = TINY):
        trainer = self.trainer(name, config)
        trainer.fit()
        return trainer

    def interrupted(self, name: str, config: Config, checks: int):
        trainer = self.trainer(name, config)
        with pytest.raises(Interrupted):
            trainer.fit(StopAfter(checks))
        return trainer

    def resumed(self, name: str, config: Config, checks: int):
        """Stopped after so many looks at the stop request, taken up by another trainer, and finished."""
        self.interrupted(name, config, checks)
        trainer = self.trainer(name, config)
        trainer.resume()
        trainer.fit()
        return trainer


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture(autouse=True)
def _small_networks(one_thread: None) -> None:
    """They only wait for more threads."""
