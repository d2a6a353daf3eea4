"""A copy of what cannot be made again: the database and the originals, whole while workers write.

A backup is a folder, or the same members in one ``.tar`` file::

    database-20261121T030000.sqlite3   the online copy of SQLite; of PostgreSQL ``….dump``, by pg_dump
    files-20261121T030000.txt          a line a file
    media/<storage key>                originals and LoRAs; renditions are made again when they are asked for
    backup.json                        names the two above; nothing without it is taken for a backup
    files.txt                          the list once more, for `sha256sum -c files.txt`; nothing else reads it

A folder always holds one whole backup: all that a new one needs lies there under names of its own when ``backup.json``
is replaced, and what the old one needed is removed afterwards. Two at once would remove each other's, so a lock keeps
the second out.
The database comes first: files are named by content and only ever added, so every file that the copy names is
there afterwards, as long as the sweep is held meanwhile. A second backup into the same folder reads what lies there and
copies what is new or no longer what its hash says.
Sessions, caches and doorbells stay out. Settings (``.env``) and models are not in it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from django.core.files.storage import FileSystemStorage, default_storage
from django.db import DatabaseError, InterfaceError, connection, transaction

from gallery.models import Image, Lora
from gallery.orphans import hold_sweep

FORMAT = 1
MANIFEST, LISTING, LOCK = "backup.json", "files.txt", ".lock"
DJANGO_Q = ("django_q_ormq", "django_q_task", "django_q_success", "django_q_failure")
LEFT_OUT = ("django_session", "cache", *DJANGO_Q)
PART = ".part-"  # what a half-written file is called


class BackupError(Exception):
    """A sentence for the user: what happened and what to do."""


class UnreadableError(BackupError):
    """What is to be copied cannot be read; OSError is left to the place that it is copied to."""


@dataclass
class Report:
    path: str
    files: int = 0
    copied: int = 0  # new files
    mended: int = 0  # files of an earlier backup that had changed there
    size: int = 0  # bytes of all files
    lost: list[str] = field(default_factory=list)  # storage keys that have a row and no file
    # storage keys whose bytes cannot be read, or are not those of their SHA-256
    damaged: list[str] = field(default_factory=list)
    is_listing_only: bool = False  # the media lie in S3, or stay where they are: looked at, not copied

    @property
    def is_whole(self) -> bool:
        return not (self.lost or self.damaged)


@dataclass(frozen=True)
class Entry:
    sha256: str
    key: str

    @property
    def name(self) -> str:
        return f"media/{self.key}"


def make_backup(path: Path, *, is_listing_only: bool = False, on_file=lambda done, total: None) -> Report:
    """Write a backup to a folder, or to one file if the name ends in ``.tar``.

    :param is_listing_only: copy the database alone; the media are only looked at, as always when they lie in S3.

    Files that are lost or damaged are named in the report and do not stop the others.

    :raises BackupError: the place cannot be written to, the database cannot be copied, or the pictures are away.
    """
    moment = datetime.now(UTC)
    is_listing_only |= not isinstance(default_storage, FileSystemStorage)
    report = Report(str(path), is_listing_only=is_listing_only)
    try:
        with hold_sweep() as renew, tempfile.TemporaryDirectory(prefix="imagineer-backup-") as scratch:
            _check_pictures_are_here()  # before there is a copy of the database that would be left over
            target = _TarTarget(path) if path.suffix == ".tar" else _FolderTarget(path)
            with target:
                if is_listing_only and (path / "media").is_dir():
                    raise BackupError(
                        f"{path} holds a backup with its pictures. Name another place for the copy of the database."
                    )
                copy_database = _copy_sqlite if connection.vendor == "sqlite" else _copy_postgresql
                copy, entries = copy_database(Path(scratch, f"database-{moment:%Y%m%dT%H%M%S%f}"))
                _add(target, copy.name, copy)
                _copy_media(entries, target, report, renew, on_file)
                listing = Path(scratch, f"files-{copy.stem.removeprefix('database-')}.txt")
                listing.write_text("".join(f"{entry.sha256}  {entry.name}\n" for entry in entries))
                _add(target, listing.name, listing)
                manifest = Path(scratch, MANIFEST)
                manifest.write_text(json.dumps(_describe(moment, copy, listing, report), indent=2))
                _add(target, MANIFEST, manifest)
                _add(target, LISTING, listing)
    except OSError as error:
        raise BackupError(f"The backup cannot be written to {path}: {error.strerror or error}.") from error
    except (sqlite3.Error, DatabaseError, InterfaceError) as error:
        raise BackupError(f"The database cannot be copied: {str(error).strip()}.") from error
    return report


def _describe(moment: datetime, copy: Path, listing: Path, report: Report) -> dict:
    return {
        "format": FORMAT,
        "made_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "database": {"vendor": connection.vendor, "file": copy.name, "sha256": _hash_file(copy)},
        "listing": listing.name,
        "listing_sha256": _hash_file(listing),
        "media": "listed" if report.is_listing_only else "copied",
        "files": report.files,
        "bytes": report.size,
        "lost": report.lost,
        "damaged": report.damaged,
    }


def _copy_sqlite(copy: Path) -> tuple[Path, list[Entry]]:
    """The copy, and the files that it names."""
    copy = copy.with_suffix(".sqlite3")
    source = f"{Path(connection.settings_dict['NAME']).absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True, timeout=20)) as live,
        closing(sqlite3.connect(copy)) as own,
    ):
        live.backup(own)  # in one step: readers and writers go on, the copy is one moment's
        own.execute("PRAGMA journal_mode=DELETE")
        own.execute("PRAGMA secure_delete=ON")  # what is left out is overwritten too
        tables = {name for (name,) in own.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in tables.intersection(LEFT_OUT):
            own.execute(f'DELETE FROM "{table}"')  # noqa: S608  our own names
        own.commit()
        if (verdict := own.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise BackupError(f"The database is damaged, so this copy is worth nothing: {verdict}")
        rows = own.execute(_entries_sql()).fetchall()
    return copy, [Entry(*row) for row in rows]


def _copy_postgresql(copy: Path) -> tuple[Path, list[Entry]]:
    copy = copy.with_suffix(".dump")
    with transaction.atomic(), connection.cursor() as cursor:
        # pg_dump and the list of files look at one and the same moment
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        run_postgresql(
            "pg_dump",
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--snapshot={snapshot}",
            f"--file={copy}",
            *(f"--exclude-table-data={table}" for table in LEFT_OUT),
        )
        cursor.execute(_entries_sql())
        rows = cursor.fetchall()
    return copy, [Entry(*row) for row in rows]


def _entries_sql() -> str:
    image, lora = Image._meta.db_table, Lora._meta.db_table
    return f"SELECT sha256, file FROM {image} UNION SELECT sha256, file FROM {lora} ORDER BY 2"  # noqa: S608


def run_postgresql(program: str, *arguments: str) -> None:
    """pg_dump or pg_restore on our database; the password goes by the environment, where no process list shows it."""
    database = connection.settings_dict
    keys = ("HOST", "PORT", "USER", "PASSWORD")
    environment = os.environ | {f"PG{key}": str(database[key]) for key in keys if database.get(key)}
    environment["PGDATABASE"] = database["NAME"]
    try:
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BackupError(
            f"{program} is not installed; it comes with PostgreSQL's client tools (package postgresql-client)."
        ) from error
    if done.returncode:
        raise BackupError(f"{program} failed: {(done.stderr.strip() or 'no reason given').splitlines()[0]}")


def _copy_media(entries: list[Entry], target, report: Report, renew, on_file) -> None:
    for number, entry in enumerate(entries, 1):
        renew()
        try:
            report.size += _keep(entry, target, report)
        except UnreadableError as error:
            _check_pictures_are_here()
            if isinstance(error.__cause__, FileNotFoundError):
                report.lost.append(entry.key)
            elif isinstance(default_storage, FileSystemStorage):
                report.damaged.append(entry.key)
            else:
                # a bucket that is away would be asked for every file in vain
                raise BackupError(f"{error}. The earlier backup is as it was.") from error
        report.files = number
        on_file(number, len(entries))


def _check_pictures_are_here() -> None:
    """:raises BackupError: what is missing would be taken for lost."""
    try:
        default_storage.check_is_here()
    except OSError as error:
        raise BackupError(
            f"{error.strerror}: {default_storage.location}. Is its disk mounted? The earlier backup is as it was."
        ) from error


def _keep(entry: Entry, target, report: Report) -> int:
    """:raises UnreadableError: the library's own file is lost, or gives no bytes."""
    with reading():
        size = default_storage.size(entry.key)
    if report.is_listing_only:
        return size
    found, found_size = target.find(entry.name)
    if found == entry.sha256:
        # never replaced, whatever has become of the library's own
        if found_size != size:
            report.damaged.append(entry.key)
        return size
    with reading():
        source = default_storage.open(entry.key)
    with source:
        is_right = target.copy(entry.name, source) == entry.sha256
    if not is_right:
        report.damaged.append(entry.key)
    if not found:
        report.copied += 1
    elif is_right:
        report.mended += 1
    return size


@contextmanager
def reading():
    """:raises UnreadableError: for an error of what is read; it is the cause."""
    try:
        yield
    except (OSError, tarfile.TarError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from error


def _add(target, name: str, source: Path) -> None:
    with source.open("rb") as file:
        target.copy(name, file)


class _FolderTarget:
    def __init__(self, path: Path):
        self.path = path

    def __enter__(self):
        if self.path.exists() and not self.path.is_dir():
            raise BackupError(f"{self.path} is a file. Name a folder, or a file that ends in .tar.")
        if self.path.is_dir() and any(not self._is_ours(path.name) for path in self.path.iterdir()):
            raise BackupError(f"{self.path} holds other things. Name an empty folder or an earlier backup.")
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lock = (self.path / LOCK).open("a")  # never removed: who waited for it would hold another one
        _lock(self.lock, self.path)
        return self

    def __exit__(self, kind, *_):
        with self.lock:
            if kind is None:
                manifest = json.loads((self.path / MANIFEST).read_text())
                current = {manifest["database"]["file"], manifest["listing"]}
                # what is half written was left by one that was killed: the lock is ours
                for pattern in ("database-*", "files-*", f"**/{PART}*"):
                    for old in list(self.path.glob(pattern)):
                        if old.name not in current:
                            old.unlink()

    @staticmethod
    def _is_ours(name: str) -> bool:
        return name in {MANIFEST, LISTING, LOCK, "media"} or name.startswith(("database-", "files-", PART))

    def find(self, name: str) -> tuple[str, int]:
        """The SHA-256 and the bytes of the file as it lies there already; "" where there is none."""
        try:
            return _hash_file(self.path / name), (self.path / name).stat().st_size
        except FileNotFoundError:
            return "", 0

    def copy(self, name: str, source: BinaryIO) -> str:
        return write_whole(self.path / name, source)


class _TarTarget:
    """Pictures are packed already, so the archive is not."""

    def __init__(self, path: Path):
        self.path, self.part = path, path.with_name(f"{PART}{path.name}")

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.fdopen(os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        _lock(self.file, self.path)
        if not (self.part.exists() and os.path.samestat(os.fstat(self.file.fileno()), self.part.stat())):
            self.file.close()
            raise BackupError(f"Another backup has just been written to {self.path}. Try again.")
        self.file.truncate()
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, kind, *_):
        with self.file, ExitStack() as undo:  # its lock goes last: then the temporary name is somebody else's
            undo.callback(self.part.unlink, missing_ok=True)
            if kind is None:
                self.tar.close()
                self.file.flush()
                os.fsync(self.file.fileno())
                self.part.replace(self.path)
                undo.pop_all()

    def find(self, name: str) -> tuple[str, int]:
        return "", 0

    def copy(self, name: str, source: BinaryIO) -> str:
        member = tarfile.TarInfo(name)
        member.mode, member.mtime = 0o600, int(datetime.now(UTC).timestamp())
        member.size = source.seek(0, os.SEEK_END)
        source.seek(0)
        hashed, begin = Hashing(source), self.tar.offset
        try:
            self.tar.addfile(member, hashed)
        except UnreadableError:
            # a member that is there in part would make everything after it unreadable
            self.tar.offset = self.file.seek(begin)
            self.file.truncate()
            raise
        return hashed.digest.hexdigest()


def _lock(file, path: Path) -> None:
    """Held until the file is closed or the process is dead.

    :raises BackupError: another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BackupError(
            f"Another backup is being written to {path}. Wait for its end, then try again."
        ) from None


class Hashing:
    """A file that is hashed as it is read; :class:`UnreadableError` tells its errors from those of who writes."""

    def __init__(self, file: BinaryIO):
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        with reading():
            chunk = self.file.read(size)
        self.digest.update(chunk)
        return chunk


def write_whole(path: Path, source: BinaryIO) -> str:
    """Copy to a temporary name, sync, rename; return the SHA-256 of what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hashed = Hashing(source)
    descriptor, temporary = tempfile.mkstemp(prefix=PART, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(hashed, file, 2**20)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return hashed.digest.hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
