"""The processes of this machine: told apart for certain, and none left behind."""

import contextlib
import ctypes
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def host_name() -> str:
    return socket.gethostname()


@cache
def boot_id() -> str:
    """Names this start of the machine and, on Linux, the namespace whose processes can look each other up."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return str(int(psutil.boot_time()))


def booted_at() -> datetime:
    """When this machine started, to a second or so, by its clock as it goes now."""
    return datetime.fromtimestamp(psutil.boot_time(), UTC)


def start_time(pid: int) -> float | None:
    """When the process began, or None when it is no more. On Linux in ticks since the boot, which no clock moves."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in "ZX" else float(fields[18])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def resident_memory() -> int:
    """Bytes resident in this process and all that descend from it; pages that they share count once for each."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def _prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when ``parent``, which started it, ends. Elsewhere than on Linux: nothing.

    The kernel means the *thread* that forked; a cluster forks in main threads only.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform == "linux" and os.getppid() != parent:  # it died before we had asked
        os._exit(1)


def bind_forks() -> None:
    """From here on whatever is forked, by this process or below it, dies with the one that forked it."""
    forking = [0]

    def before():
        forking[0] = os.getpid()

    os.register_at_fork(before=before, after_in_child=lambda: die_with(forking[0]))


def has_dead_child(pid: int) -> bool:
    """Whether the process has children that died and that it has not looked after."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return False
    return any(start_time(child.pid) is None for child in children)


def adopt_orphans() -> None:
    """What loses its parent below this process becomes its child, so that ``kill_descendants`` finds it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants() -> None:
    """Kill every process below this one, and wait until they are gone."""
    for _round in range(5):  # what was killed may just have started another
        alive = [p for p in psutil.Process().children(recursive=True) if start_time(p.pid) is not None]
        if not alive:
            return
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=1)
