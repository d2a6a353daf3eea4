"""What may go wrong around a house at work: each fault, what people and programs must see meanwhile, and its end."""

import errno
import os
import sqlite3
import struct
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from bench.chaos.house import House
from tests.clusters import PostgresServer, RedisServer

HOUR = 3600
ROOMY = "4g"  # the size of a small disk that is not full; `doctor` wants 2 GiB free


class Fault(ABC):
    """``begin`` and ``end`` once each; in between the house is watched."""

    name = ""
    seconds = 60  # how long it lasts
    short_seconds = 6
    page = 200  # what the pages answer meanwhile
    health = ""  # a part of the sentence that /api/health says meanwhile; "" where all is well
    doctor = ""  # the same of `manage.py doctor`
    upload = (201,)  # what an upload may be answered meanwhile; nothing: nobody tries
    is_quiet = False  # whether it begins when all jobs are done, and jobs are ordered while it lasts
    can_order = True  # whether jobs can be ordered while it lasts

    @abstractmethod
    def begin(self, house: House) -> None: ...

    @abstractmethod
    def end(self, house: House) -> None: ...


# ---- The database


class DatabaseStopped(Fault):
    name = "PostgreSQL stopped"
    page, upload, can_order = 503, (503,), False
    health = doctor = "The database does not answer"

    def __init__(self, server: PostgresServer):
        self.server = server

    def begin(self, house):
        self.server.stop()

    def end(self, house):
        self.server.start()


class DatabaseRestarted(DatabaseStopped):
    name = "PostgreSQL restarted six times in a row"
    seconds = short_seconds = 0  # it is over when it has begun
    health = doctor = ""
    upload = ()

    def begin(self, house):
        for _ in range(6):
            self.server.stop()
            self.server.start()
            time.sleep(2)

    def end(self, house):
        return


class DatabaseLocked(Fault):
    """By another program, for longer than the busy timeout of 20 seconds."""

    name = "SQLite write-locked"
    seconds, short_seconds = 30, 24
    health = doctor = "can be read and not written to"
    upload, can_order = (), False

    def __init__(self, path: Path):
        self.path = path

    def begin(self, house):
        self.holder = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        self.holder.execute("BEGIN IMMEDIATE")

    def end(self, house):
        self.holder.rollback()
        self.holder.close()


# ---- The broker


class BrokerFlushed(Fault):
    name = "Redis flushed while jobs are ordered"
    seconds = short_seconds = 6

    def __init__(self, server: RedisServer):
        self.server = server

    def begin(self, house):
        for _ in range(20):
            self.server.client.flushall()
            time.sleep(0.05)

    def end(self, house):
        self.server.client.flushall()


class BrokerStopped(Fault):
    name = "Redis stopped"
    short_seconds = 15  # so long that the pusher gives up
    health = doctor = "The broker (REDIS_URL) does not answer"
    is_quiet = True

    def __init__(self, server: RedisServer):
        self.server = server

    def begin(self, house):
        self.server.stop()

    def end(self, house):
        self.server.start()


class BrokerHangs(BrokerStopped):
    """It takes connections and says nothing, as one that swaps or stands behind a broken network."""

    name = "Redis frozen"

    def begin(self, house):
        self.server.freeze()

    def end(self, house):
        self.server.thaw()


# ---- The disk


class SmallDisk:
    """A folder on a disk of its own in memory, which is full whenever we like."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", folder)

    def fill(self) -> None:
        for _ in range(20):  # somebody writes meanwhile
            status = os.statvfs(self.folder)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            try:
                return self._mount("-o", f"remount,size={used}", self.folder)
            except subprocess.CalledProcessError:
                continue
        raise OSError(errno.EBUSY, "The small disk could not be filled.", str(self.folder))

    def free(self) -> None:
        self._mount("-o", f"remount,size={ROOMY}", self.folder)

    def remove(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)

    @staticmethod
    def _mount(*arguments) -> None:
        subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


class DiskFull(Fault):
    short_seconds = 8
    can_order = False

    def __init__(self, disk: SmallDisk, what: str, *, upload: tuple[int, ...]):
        self.disk, self.upload = disk, upload
        self.name = f"Disk of the {what} full"
        self.health = self.doctor = f"The disk of the {what} is full"

    def begin(self, house):
        self.disk.fill()

    def end(self, house):
        self.disk.free()


# ---- Models and clocks


class ModelGone(Fault):
    name = "Model folder gone"
    short_seconds = 8
    health, doctor = "The folder of a model cannot be found", "model"
    can_order = False

    def __init__(self, folder: Path):
        self.folder, self.elsewhere = folder, folder.with_name("elsewhere")

    def begin(self, house):
        self.folder.rename(self.elsewhere)
        for cluster in house.site.clusters:  # what is warm in memory draws on: somebody else has to load it
            if cluster.queue == "gpu" and cluster.popen.poll() is None:
                cluster.workers[0].kill()

    def end(self, house):
        self.elsewhere.rename(self.folder)


class ClockMoved(Fault):
    """The clock of all processes of the house jumps, and back again; that of whoever orders jobs stays true."""

    short_seconds = 10

    def __init__(self, file: Path, hours: int):
        self.file, self.hours = file, hours
        self.name = f"Clock put {'forward' if hours > 0 else 'back'} by an hour, and right again"

    def begin(self, house):
        self._move(self.hours * HOUR)

    def end(self, house):
        self._move(0)

    def _move(self, seconds: int) -> None:
        with self.file.open("r+b") as file:
            file.write(struct.pack("l", seconds))


def build_clock(folder: Path) -> dict:
    """The environment of processes whose clock a file of ``folder`` moves.

    :raises OSError, subprocess.CalledProcessError: there is no C compiler.
    """
    library, file = folder / "clock.so", folder / "clock"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    file.write_bytes(struct.pack("l", 0))
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(file)}
