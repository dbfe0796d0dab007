# SPDX-License-Identifier: MIT
"""Trains in the processes that the environment describes, one job after another; a test reads what they found.

Usage: two_processes.py JOBS.json

A job: "folder", "config"; "stop": [rank, steps] has that process asked to stop after so many weight steps; "fails": the
process whose device cannot be used; "falls": the epochs whose cosine is said to have fallen. Each process writes what
it met as FOLDER-found-RANK.json.
"""

import hashlib
import json
import sys
from pathlib import Path

import any_size_net  # noqa: F401  (its network is known by name)
import batch_norm_net  # noqa: F401  (as well)
import torch
import torch.distributed as dist
from falling_cosine import let_fall

from yopo_ext.training import Interrupted, Run, StopRequest, Trainer, config_from_dict, started_processes
from yopo_ext.training.events.averaging import Averaging

messages = []


def state_of(trainer: Trainer) -> str:
    """A digest of all that the processes must agree on."""
    digest = hashlib.sha256()
    tensors = [
        *trainer.model.state_dict().values(),
        *([] if trainer.step.generator is None else [trainer.step.generator.get_state()]),
        *(value for value in trainer.batches.state_dict().values() if isinstance(value, torch.Tensor)),
        *(value for event in trainer.events if isinstance(event, Averaging) for value in event.state_dict().values()),
    ]
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def stop_after(trainer: Trainer, stop: StopRequest, steps: int) -> None:
    """Asks for the stop when so many weight steps have been made."""
    step, done = trainer.optimizer.step, 0

    def counted() -> None:
        nonlocal done
        step()
        done += 1
        if done == steps:
            stop.signal_number = 2

    trainer.optimizer.step = counted


def carry_out(job: dict, processes, device: str) -> dict:
    messages.clear()
    config, folder, stop = config_from_dict(job["config"]), Path(job["folder"]), StopRequest()
    device = "warp" if job.get("fails") == processes.rank else device
    try:
        run = Run(config, folder, processes=processes, device=device, show=False, stop=stop)
    except (ValueError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if processes.from_first((folder / "last.pt").exists()):
        run.resume()
    trainer = run.trainer if "falls" not in job else let_fall(run.trainer, job["falls"])
    rank, steps = job.get("stop", (None, 0))
    if rank == processes.rank:
        stop_after(trainer, stop, steps)
    found = {}
    try:
        run.fit()
    except Interrupted as interrupted:
        found["interrupted"] = str(interrupted)
    statistics = sum(buffer.numel() for name, buffer in trainer.model.named_buffers() if "running" in name)
    sizes = [parameter.numel() for parameter in trainer.model.parameters()]
    an_epoch = -(-len(trainer.batches) // config["accumulate"])
    found |= {"steps": an_epoch * trainer.epochs, "rows": trainer.batches.rows, "state": state_of(trainer)}
    # The last numbers say whether to stop, and which gradients there are.
    message = sum(sizes) + statistics + 1 + len(sizes)
    found["exchanges"] = messages.count(message)
    return found


def main(jobs: list) -> None:
    torch.set_num_threads(1)
    threads = Path("/proc/self/task")
    with started_processes("cpu") as (processes, device):
        exchange = dist.all_reduce

        def counted(tensor, *arguments, **options):
            if "group" not in options:  # a joint batch norm's own sums name it
                messages.append(tensor.numel())
            return exchange(tensor, *arguments, **options)

        dist.all_reduce = counted
        for job in jobs:
            found = carry_out(job, processes, device)
            Path(f"{job['folder']}-found-{processes.rank}.json").write_text(json.dumps(found))
        dist.all_reduce = exchange
    left = [(one / "comm").read_text() for one in threads.iterdir()] if threads.exists() else []
    assert not any("gloo" in name for name in left), "the exchange's threads would outlive Python"


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
