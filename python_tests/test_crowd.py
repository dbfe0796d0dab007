# SPDX-License-Identifier: MIT
"""What the command line sees of a machine that others use too, and what it makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from yopo_ext.cli import build_parser, crowd
from yopo_ext.cli.crowd import COMMANDS, Machine, choose, describe, make_room, read_machine

SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")


def threads(number, *, passive=False):
    return {"OMP_NUM_THREADS": str(number)} | ({"OMP_WAIT_POLICY": "passive"} if passive else {})


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [
        (Machine(2, None, 0.0), {}),
        (Machine(2, None, 0.4), {}),
        (Machine(2, None, 1.0), threads(1)),
        (Machine(2, None, 2.0), threads(1)),
        (Machine(1, None, 1.0), {}),
        (Machine(8, None, 1.0), threads(7)),
        (Machine(8, None, 4.0), threads(4)),
        (Machine(8, None, 7.5), threads(4, passive=True)),
        (Machine(64, None, 64.0), threads(32, passive=True)),
        (Machine(64, 2.0, 0.0), threads(2)),
        (Machine(64, 2.5, 60.0), threads(2)),
        (Machine(64, 0.5, 0.0), threads(1)),
        (Machine(4, 8.0, 0.0), {}),
        (Machine(2, None, 0.0, siblings=True), {}),
        (Machine(1, None, 0.5, siblings=True), threads(1)),
    ],
    ids=str,
)
def test_what_is_chosen(machine, chosen):
    assert choose(machine) == chosen


def test_a_run_that_goes_on_keeps_its_threads():
    assert choose(Machine(2, None, 2.0), keep_threads=True) == {"OMP_WAIT_POLICY": "passive"}
    assert choose(Machine(64, 2.0, 64.0), keep_threads=True) == threads(2, passive=True)
    assert choose(Machine(2, None, 0.0), keep_threads=True) == {}


def test_it_is_said_in_one_line():
    machine = Machine(64, 2.5, 60.0)
    line = describe(machine, choose(machine))
    assert (
        line
        == "yopo: others keep about 60.0 of 64 cores busy and 2.5 cores' worth of time is allowed: OMP_NUM_THREADS=2"
    )


# ---- what the system says ----


class System:
    """Files under a root of their own; each line of `ticks` is (user, nice, system, idle, iowait) of a core."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, cores: int = 2) -> None:
        self.root = root
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        monkeypatch.setattr(crowd.time, "sleep", lambda _: self.write("proc/stat", self.later))
        self.later = ""

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def stat(self, *busy_of_ten: int) -> None:
        """How many of the next ten ticks each core is busy."""
        first = [f"cpu{core} 100 0 100 1000 50 0 0 0 0 0" for core in range(len(busy_of_ten))]
        self.write("proc/stat", "\n".join(["cpu  1 2 3 4", *first, "intr 1 2 3", ""]))
        then = [f"cpu{core} {100 + n} 0 100 {1010 - n} 50 0 0 0 0 0" for core, n in enumerate(busy_of_ten)]
        self.later = "\n".join(["cpu  1 2 3 4", *then, ""])


@pytest.fixture
def system(tmp_path, monkeypatch):
    return System(tmp_path, monkeypatch)


def test_cores_are_watched(system):
    system.stat(10, 5)
    assert read_machine(system.root) == Machine(2, None, 1.5)


def test_only_cores_that_this_process_may_use_count(system):
    system.stat(0, 0, 10, 10)
    assert read_machine(system.root).busy == 0.0


def test_two_processors_may_be_one_core(system):
    system.stat(10, 10)
    for processor in range(2):
        system.write(f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list", "0-1\n")
    assert read_machine(system.root) == Machine(1, None, 1.0, siblings=True)


def test_a_wait_for_the_disk_is_idle(system):
    system.write("proc/stat", "cpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n")
    system.later = "cpu0 0 0 0 0 10 0 0 0\ncpu1 0 0 0 0 10 0 0 0\n"
    assert read_machine(system.root).busy == 0.0


@pytest.mark.parametrize("stat", [None, "", "cpu0 0 0 0 0\ncpu1 0 0 0 0\n", "what is this", "cpu0 a b c d\n"])
def test_else_the_load_counts(system, stat):
    if stat is not None:
        system.write("proc/stat", stat)
    system.later = stat or ""
    system.write("proc/loadavg", "3.00 1.00 0.50 2/100 1234\n")
    assert read_machine(system.root).busy == 1.5  # of four cores, two are ours


@pytest.mark.parametrize("load", ["", "x y z"])
def test_where_nothing_is_said_the_machine_is_quiet(system, load, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (_ for _ in ()).throw(OSError("no load here")))
    if load:
        system.write("proc/loadavg", load)
    assert read_machine(system.root) == Machine(2, None, 0.0)


def test_a_system_without_affinity_or_proc(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    assert read_machine(tmp_path).cores == 1


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/cpu.max": "300000 100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        ({"sys/fs/cgroup/cpu.max": "no such thing"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "0 0\n"}, None),
    ],
)
def test_cgroup_limits(system, files, quota):
    for path, text in files.items():
        system.write(path, text)
    assert read_machine(system.root).quota == quota


# ---- whether anything is done ----


@pytest.fixture
def busy(monkeypatch):
    """A busy machine and an environment in which nobody has chosen."""
    for name in [name for name in os.environ if name.startswith(("OMP_", "MKL_", "GOMP_", "KMP_", "WORLD_SIZE"))]:
        monkeypatch.delenv(name)
    for name in SETTINGS:  # so that they go again
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(crowd, "read_machine", lambda root: Machine(2, None, 2.0))
    monkeypatch.delitem(sys.modules, "torch")


def chosen():
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


@pytest.mark.parametrize("command", ["train", "compare", "evaluate"])
def test_long_commands_make_room(busy, command, capsys):
    make_room([command])
    assert chosen() == threads(1)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("resume", [["--resume=runs/x"], ["--resume", "runs/x"], ["--resu", "runs/x"]])
def test_resuming_only_waits_otherwise(busy, resume):
    make_room(["train", *resume])
    assert chosen() == {"OMP_WAIT_POLICY": "passive"}


@pytest.mark.parametrize("arguments", [["evaluate", "runs/x", "--restarts", "10"], ["train", "--resize", "72"]])
def test_no_other_option_is_taken_for_resuming(busy, arguments):
    make_room(arguments)
    assert "OMP_NUM_THREADS" in chosen()


def test_every_command_that_computes_makes_room():
    """`bench` measures the machine as it is; `info` and `list` do not compute."""
    (commands,) = (action.choices for action in build_parser()._actions if hasattr(action, "_name_parser_map"))
    assert set(commands) - set(COMMANDS) == {"bench", "info", "list"}


@pytest.mark.parametrize("arguments", [[], ["bench"], ["info"], ["list", "methods"], ["train", "--help"], ["--help"]])
def test_others_do_not(busy, arguments):
    make_room(arguments)
    assert chosen() == {}


@pytest.mark.parametrize(
    "name", ["OMP_PROC_BIND", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS"]
)
def test_what_the_user_has_chosen_stays(busy, name, monkeypatch):
    monkeypatch.setenv(name, "3")
    make_room(["train"])
    assert chosen() == ({"OMP_NUM_THREADS": "3"} if name == "OMP_NUM_THREADS" else {})


def test_a_launcher_s_processes_share_as_it_says(busy, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    make_room(["train"])
    assert chosen() == {}


def test_it_is_too_late_once_torch_is_there(busy, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    make_room(["train"])
    assert chosen() == {}


def test_torch_is_imported_after_the_choice_and_heeds_it():
    code = (
        "import sys, yopo_ext.cli\n"
        "from yopo_ext.cli import crowd\n"
        "assert 'torch' not in sys.modules\n"
        "crowd.read_machine = lambda root: crowd.Machine(2, None, 2.0)\n"
        "status = yopo_ext.cli.main(['evaluate', 'no/such/run'])\n"
        "import torch; print(status, torch.get_num_threads())\n"
    )
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_", "KMP_"))
    }
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["2", "1"], done.stderr
    assert done.stderr.startswith("yopo: others keep about 2.0 of 2 cores busy: OMP_NUM_THREADS=1\n")
