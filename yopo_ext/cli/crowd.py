# SPDX-License-Identifier: MIT
"""Threads and their waiting on a machine that others use too, chosen before torch is imported.

OpenMP's threads spin at the end of every parallel region until the last one is there. Beside other processes one of
them is always off its core, and the others burn theirs waiting: small networks then train many times slower. Fewer
threads, or waiting asleep, costs little there. On a quiet machine nothing is changed, and never what the user or a
launcher has set.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .speaker import process_count, say

#: Commands that compute for long. `bench` measures the machine as it is.
COMMANDS = ("train", "compare", "evaluate", "diagnose", "cuts")
#: Who has set one of these has chosen.
_CHOSEN_BY = ("OMP_", "MKL_", "GOMP_", "KMP_")
#: Cores kept busy by others from which on it is a crowd.
CROWD = 0.5
#: Seconds to watch the cores for.
WATCH = 0.2


@dataclass(frozen=True)
class Machine:
    """What this process may use.

    Attributes:
        cores: it may run on.
        quota: cores' worth of time that its cgroups allow it, or None.
        busy: of the cores, by others, just now.
        siblings: whether a core shows itself as several processors, so that a thread for each would be too many.
    """

    cores: int
    quota: float | None
    busy: float
    siblings: bool = False


def make_room(arguments: Sequence[str], root: Path = Path("/")) -> None:
    """Sets OMP_NUM_THREADS and OMP_WAIT_POLICY where that helps, and says so in a line on stderr.

    Args:
        arguments: of the command line.
        root: of the system's files.
    """
    if not arguments or arguments[0] not in COMMANDS or "torch" in sys.modules or {"-h", "--help"} & set(arguments):
        return
    if process_count() > 1 or any(name.startswith(_CHOSEN_BY) for name in os.environ):
        return
    machine = read_machine(root)
    # The bits of a sum may depend on the number of threads, and a run that goes on has to give those of one that was
    # never interrupted.
    settings = choose(machine, keep_threads=any(map(_resumes, arguments)))
    if settings:
        os.environ.update(settings)
        say(describe(machine, settings))


def _resumes(argument: str) -> bool:
    """--resume, or as much of it as is no other option's."""
    name = argument.partition("=")[0]
    return len(name) > len("--res") and "--resume".startswith(name)


def choose(machine: Machine, keep_threads: bool = False) -> dict[str, str]:
    """The environment variables to set; none on a quiet machine all of which may be used."""
    cores = machine.cores
    most = cores if machine.quota is None else min(cores, max(1, math.floor(machine.quota)))
    crowded = machine.busy >= CROWD
    free = max(0, math.floor(cores - machine.busy + 0.25)) if crowded else cores
    # Half of the cores is what comes of sharing them with as many others.
    threads = min(most, max(free, cores // 2, 1)) if crowded and not keep_threads else most
    decided = threads < cores or (machine.siblings and crowded and not keep_threads)
    settings = {"OMP_NUM_THREADS": str(threads)} if decided else {}
    if threads > 1 and free < threads:
        settings["OMP_WAIT_POLICY"] = "passive"
    return settings


def describe(machine: Machine, settings: Mapping[str, str]) -> str:
    """Why, and what was chosen."""
    why = []
    if machine.busy >= CROWD:
        why.append(f"others keep about {machine.busy:.1f} of {machine.cores} cores busy")
    if machine.quota is not None and machine.quota < machine.cores:
        why.append(f"{machine.quota:g} cores' worth of time is allowed")
    return f"yopo: {' and '.join(why)}: {' '.join(f'{name}={value}' for name, value in settings.items())}"


def read_machine(root: Path = Path("/")) -> Machine:
    """What the system says, as far as it says anything: in containers much of it may be missing."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    cores = len({_read(root / siblings.format(number)) or number for number in allowed})
    busy = _busy(root, allowed) * cores / len(allowed)
    return Machine(cores, _quota(root), busy, cores < len(allowed))


def _read(path: Path) -> str:
    """A system file's text; empty where it is not there or may not be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _quota(root: Path) -> float | None:
    """The tightest limit of this process's cgroups, of version 2 or 1, and of those that they are in."""
    limits = []
    for line in _read(root / "proc/self/cgroup").splitlines() or ["0::/"]:
        _, controllers, place = [*line.split(":", 2), "", "", "/"][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = (
            [root / "sys/fs/cgroup"] if not controllers else [root / f"sys/fs/cgroup/{n}" for n in (controllers, "cpu")]
        )
        inner = Path(place.lstrip("/"))
        # Inside a container the place may be the host's, and the container's own limit is at the top.
        for mount in mounts:
            limits += [_limit(mount / folder) for folder in (inner, *inner.parents, Path())]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(group: Path) -> float | None:
    words = _read(group / "cpu.max").split() or [
        _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()
    ]  # fmt: skip
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or nothing
        return None
    return quota / period if quota > 0 and period > 0 else None


def _busy(root: Path, allowed: set[int]) -> float:
    """How many of the allowed processors others keep busy: watched a moment, else by the load of the last minute."""
    before = _ticks(root, allowed)
    time.sleep(WATCH)  # this process does nothing meanwhile
    after = _ticks(root, allowed)
    total, idle = (later - earlier for later, earlier in zip(after, before, strict=True))
    if total > 0:
        return len(allowed) * (1 - min(max(idle, 0), total) / total)
    return min(_load(root) * len(allowed) / max(os.cpu_count() or 1, len(allowed)), len(allowed))


def _ticks(root: Path, allowed: set[int]) -> tuple[int, int]:
    """Clock ticks of the allowed processors so far: all, and idle ones; zeros where nothing counts them."""
    total = idle = 0
    for line in _read(root / "proc/stat").splitlines():
        name, *words = line.split() or [""]
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in allowed and all(map(str.isdigit, words)):
            ticks = [int(word) for word in words[:8]]  # guests' are in those of the user
            total, idle = total + sum(ticks), idle + sum(ticks[3:5])
    return total, idle


def _load(root: Path) -> float:
    words = _read(root / "proc/loadavg").split()
    try:
        return float(words[0]) if words else os.getloadavg()[0]
    except (ValueError, OSError, AttributeError):
        return 0.0
