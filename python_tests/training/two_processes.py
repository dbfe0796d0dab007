# SPDX-License-Identifier: MIT
"""Trains in the processes that the environment describes; the first writes what a test wants to know.

Usage: two_processes.py FOLDER CONFIG.json
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from yopo_ext.training import StopRequest, TrainConfig, Trainer, started_processes
from yopo_ext.training.prepare_data import prepare_data


def main(folder: Path, config: TrainConfig) -> None:
    torch.set_num_threads(1)
    large = []
    threads = Path("/proc/self/task")
    with started_processes(config.device) as (processes, device):
        exchange = dist.all_reduce

        def counted(tensor, *arguments):
            large.append(tensor.numel())
            return exchange(tensor, *arguments)

        dist.all_reduce = counted
        trainer = Trainer(config, prepare_data(config), folder, processes=processes, device=device, show=False)
        if (folder / "last.pt").exists():
            trainer.resume()
        trainer.fit(StopRequest())
        weights = sum(parameter.numel() for parameter in trainer.model.parameters())
        found = {"steps": len(trainer.loader) * config.epochs, "exchanges": sum(size == weights for size in large)}
        found["rows"] = processes.gather(trainer.loader.rows)
        if processes.is_first:
            (folder / "found.json").write_text(json.dumps(found))
    left = [(one / "comm").read_text() for one in threads.iterdir()] if threads.exists() else []
    assert not any("gloo" in name for name in left), "the exchange's threads would outlive Python"


if __name__ == "__main__":
    main(Path(sys.argv[1]), TrainConfig.read(Path(sys.argv[2])))
