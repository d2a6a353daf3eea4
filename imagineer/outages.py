"""What is away and comes back: the database, the broker, the disk. It fails no job, and no page calls it a mistake."""

import errno
from enum import StrEnum

from django.db import InterfaceError, OperationalError


class Outage(StrEnum):
    """What of the house is away; the value reads in a sentence."""

    DATABASE = "database"
    BROKER = "broker"
    DISK = "disk"  # it is there, and full
    STORAGE = "storage"  # neither gives nor takes: a disk that was pulled out, a bucket that does not answer


DISK_FULL = "53100"  # of PostgreSQL's error codes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AWAY = (
    *(errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EACCES, errno.EPERM),  # a folder that belongs to somebody else until an admin sees to it
)

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
        if isinstance(error, (OperationalError, InterfaceError)):
            name = getattr(error.__cause__, "sqlite_errorname", "")
            if name == "SQLITE_ERROR":  # SQLite reports mistakes in the SQL itself by this class too
                return None
            is_full = name == "SQLITE_FULL" or getattr(error.__cause__, "sqlstate", "") == DISK_FULL
            return Outage.DISK if is_full else Outage.DATABASE
        if isinstance(error, (RedisAway, RedisSlow)):
            return Outage.BROKER
        if isinstance(error, OSError) and error.errno in FULL:
            return Outage.DISK
        if isinstance(error, OSError) and error.errno in AWAY:
            return Outage.STORAGE
        error = error.__cause__
    return None
