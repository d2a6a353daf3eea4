"""What is away and comes back: the database, the broker, the disk. It fails no job, and no page calls it a mistake."""

import errno
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError


class Outage(StrEnum):
    """What of the house is away; the value reads in a sentence."""

    DATABASE = "database"
    BROKER = "broker"
    DISK = "disk"  # it is there, and full
    STORAGE = "storage"  # neither gives nor takes: a disk that was pulled out, a bucket that does not answer


NO_TABLE = "no such table"  # of SQLite
DISK_FULL, LIMIT_EXCEEDED = "53100", "54"  # of PostgreSQL's error codes; the second is a class of them
# for a while it takes no writing, as a standby does, or it has ended a session that was idle or slow
STANDSTILL = {"25006", "25P03", "25P04"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AWAY = {errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT}
DENIED = {errno.EACCES, errno.EPERM}  # a folder that belongs to somebody else until an admin sees to it

PAUSE = 5  # seconds until it is worth to try again

# What a request is answered meanwhile: the status, and a sentence.
ANSWERS = {
    Outage.DATABASE: (503, "The database is busy or away. Try again in a moment."),
    Outage.BROKER: (503, "The broker, which wakes the workers, does not answer. Try again in a moment."),
    Outage.DISK: (
        507,
        "The disk is full, so nothing can be stored. Tell an admin to make room, then try again.",
    ),
    Outage.STORAGE: (503, "The place where the pictures lie does not answer. Try again in a moment."),
}


def find_outage(error: BaseException | None) -> Outage | None:
    """What is away behind an error, or None when the error is one of ours."""
    from redis.exceptions import ConnectionError as RedisAway
    from redis.exceptions import TimeoutError as RedisSlow

    while error:
        code = getattr(error.__cause__, "sqlstate", None) or ""
        if isinstance(error, InternalError) and code in STANDSTILL:
            return Outage.DATABASE
        if isinstance(error, (OperationalError, InterfaceError)):
            name = getattr(error.__cause__, "sqlite_errorname", "")
            # where its file has gone, SQLite makes an empty one
            if NO_TABLE in str(error):
                return Outage.DATABASE
            # mistakes in the SQL itself, and statements that are too large for ever, come by this class too
            if name == "SQLITE_ERROR" or code.startswith(LIMIT_EXCEEDED):
                return None
            is_full = name == "SQLITE_FULL" or code == DISK_FULL
            return Outage.DISK if is_full else Outage.DATABASE
        if isinstance(error, (RedisAway, RedisSlow)):
            return Outage.BROKER
        if isinstance(error, OSError) and error.errno in FULL:
            return Outage.DISK
        if isinstance(error, OSError) and error.errno in AWAY:
            return Outage.STORAGE
        if isinstance(error, OSError) and error.errno in DENIED and _is_in_the_library(error.filename):
            return Outage.STORAGE
        error = error.__cause__
    return None


def _is_in_the_library(name) -> bool:
    """Whether a file that somebody is denied is one of ours, or nobody knows which; any other is denied by mistake."""
    folders = (settings.DATA_DIR, settings.MODELS_DIR)
    return name is None or any(Path(str(name)).is_relative_to(folder) for folder in folders)
